"""What Laurel's drain is measured against: the same calls with nothing else. Prints one line of JSON.

`shared`: one httpx client for all slots. `own`: a client for each slot, which costs httpx less. `fresh`: one call after
another, with a new connection each.
"""

import argparse
import asyncio
import base64
import http.client
import json
import sys
import time
from urllib.parse import urlsplit

import httpx

from bench.rows import invented_id, token
from bench.spent import cpu_seconds


def body(prefix: str, number: int) -> bytes:
    """Return what Laurel would send for this user."""
    key = f"{prefix}-{number}"
    named = {"user": f"Ada {key}", "company": "Acme", "project": "Bridge", "portal": "Portal 0"}
    evidence = [
        {"type": "UrlEvidence", "name": name, "value": f"https://{kind}.example.org/{key}"}
        for kind, name in named.items()
    ]
    fields = {
        "badge_template_id": invented_id("template", 0),
        "recipient_email": f"{key}@example.org",
        "issued_to_first_name": "Ada",
        "issued_to_last_name": key,
        "issued_at": "2026-11-02 08:00:00 +0000",
        "issuer_earner_id": key,
        "evidence": evidence,
    }
    return json.dumps(fields).encode()


async def at_once(address: str, *, calls: int, slots: int, prefix: str, own: bool) -> None:
    numbers = iter(range(calls))

    def client() -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=slots, max_keepalive_connections=slots)
        return httpx.AsyncClient(auth=(token(0), ""), limits=limits, timeout=30, trust_env=False)

    async def slot(using: httpx.AsyncClient) -> None:
        for number in numbers:
            reply = await using.post(
                address, content=body(prefix, number), headers={"Content-Type": "application/json"}
            )
            if reply.status_code != 201:
                raise RuntimeError(f"status {reply.status_code}")

    clients = [client() for _ in range(slots if own else 1)]
    await asyncio.gather(*(slot(clients[place % len(clients)]) for place in range(slots)))
    for each in clients:
        await each.aclose()


def one_after_another(address: str, *, calls: int, prefix: str) -> None:
    parts = urlsplit(address)
    key = base64.b64encode(f"{token(0)}:".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {key}"}
    for number in range(calls):
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        connection.request("POST", parts.path, body(prefix, number), headers)
        reply = connection.getresponse()
        reply.read()
        connection.close()
        if reply.status != 201:
            raise RuntimeError(f"status {reply.status}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("shared", "own", "fresh"))
    parser.add_argument("base_url")
    parser.add_argument("prefix")
    parser.add_argument("calls", type=int)
    parser.add_argument("slots", type=int)
    given = parser.parse_args()
    address = f"{given.base_url}/organizations/{invented_id('organization', 0)}/badges"
    began, before = time.perf_counter(), cpu_seconds()
    if given.kind == "fresh":
        one_after_another(address, calls=given.calls, prefix=given.prefix)
    else:
        own = given.kind == "own"
        asyncio.run(at_once(address, calls=given.calls, slots=given.slots, prefix=given.prefix, own=own))
    took = {"seconds": time.perf_counter() - began, "cpu": cpu_seconds() - before}
    sys.stdout.write(json.dumps(took) + "\n")


if __name__ == "__main__":
    main()
