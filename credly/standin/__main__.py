"""Starts the stand-in: `python -m credly.standin`."""

import argparse
import json
import socket
from pathlib import Path

import uvicorn

from credly.standin.app import create_app
from credly.standin.sample import SAMPLE


def main() -> None:
    options = _options()
    assumed = {name: getattr(options, name) for name in ("latency_ms", "fault_share", "calls_per_second")}
    app = create_app(options.database, settings=assumed)
    store = app.app.state.store
    if options.seed:
        store.seed(json.loads(Path(options.seed).read_text(encoding="utf-8")))
    elif not store.all("SELECT id FROM organizations"):
        store.seed(SAMPLE)
        print("Sample organization", SAMPLE["organizations"][0]["id"], "with the token", SAMPLE["tokens"][0]["token"])
        for template in SAMPLE["templates"]:
            print("Sample template", template["id"], template["state"])
    with socket.socket() as listening:
        # Bound here, so that the address with its free port is printed before the server runs.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((options.host, options.port))
        address = f"http://{options.host}:{listening.getsockname()[1]}"
        print(f"A stand-in of Credly answers at {address}/v1 and shows its badges at {address}", flush=True)
        config = uvicorn.Config(app, log_level="warning", ws="none", timeout_keep_alive=30)
        uvicorn.Server(config).run(sockets=[listening])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="credly.standin", description="A stand-in of Credly's web service.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090, help="0 takes any free port")
    parser.add_argument("--database", default=":memory:", help="a file; without it the state is lost at the end")
    parser.add_argument("--seed", help="JSON file with organizations, tokens, templates and accounts")
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--fault-share", type=float, default=0, help="share of requests that fail, 0 to 1")
    parser.add_argument("--calls-per-second", type=int, default=0, help="limit of one organization; 0 is no limit")
    return parser.parse_args()


if __name__ == "__main__":
    main()
