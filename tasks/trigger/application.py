"""The endpoint: `POST /portals/{portal}/runs`, with the token of LAUREL_TRIGGER_TOKEN and nothing else."""

import hmac
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from models.ledger.claiming import connected_organizations
from tasks.runtime.run import Run


def application(run: Run, *, token: str, call: Callable[[], None]) -> Starlette:
    """Return the ASGI application; `call` is called for each valid request, whose body is not read."""

    async def start(request: Request) -> JSONResponse:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), token.encode()):
            error = "The header Authorization must be `Bearer` and the token of LAUREL_TRIGGER_TOKEN."
            return JSONResponse({"error": error}, 401, {"WWW-Authenticate": "Bearer"})
        portal = request.path_params["portal"]
        if not await run.database.read(connected_organizations, portal_id=portal):
            return JSONResponse({"error": f"The portal {portal!r} is not connected to Credly."}, 404)
        call()
        return JSONResponse({"portal": portal, "message": "New awards are being issued."}, 202)

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return Starlette(routes=[Route("/portals/{portal:path}/runs", start, methods=["POST"]), Route("/health", health)])
