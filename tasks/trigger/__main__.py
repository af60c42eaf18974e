"""`python -m tasks.trigger`: serves the endpoint until it is stopped."""

import asyncio
import sys
from argparse import ArgumentParser

import uvicorn
from prefect.client.orchestration import get_client

from rules.forms.inputs import InvalidInput
from tasks.runtime.run import run_context
from tasks.trigger.application import application
from tasks.trigger.starter import Starter

SHORTEST_TOKEN = 20


async def serve(host: str, port: int) -> int:
    async with run_context() as run, get_client() as client:
        token = run.settings.trigger_token.get_secret_value()
        if len(token) < SHORTEST_TOKEN:
            raise InvalidInput(
                f"LAUREL_TRIGGER_TOKEN must have at least {SHORTEST_TOKEN} characters. Make one: "
                'python -c "import secrets; print(secrets.token_urlsafe())"'
            )
        starter = Starter(run, client)
        app = application(run, token=token, call=starter.call)
        server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning"))
        starting = asyncio.create_task(starter.keep_starting())
        await server.serve()
        starting.cancel()
    return 0


def main() -> int:
    parser = ArgumentParser(prog="python -m tasks.trigger", description="Serve the endpoint that starts a run at once.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8070)
    arguments = parser.parse_args()
    try:
        return asyncio.run(serve(arguments.host, arguments.port))
    except InvalidInput as invalid:
        sys.stderr.write(f"{invalid}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
