"""Whether Laurel's own client reads what is answered to it."""

import asyncio
from datetime import UTC, datetime

from pydantic import SecretStr

from credly.client import CredlyClient
from credly.errors import CredlyError
from credly.wire import BadgeRequest
from scripts.sandbox.calls import Sandbox
from scripts.sandbox.findings import Seen, probe
from scripts.sandbox.questions.badges import template_of


@probe("client", asks="Can Laurel's client read each answer?", expects="each call is read")
def client(box: Sandbox) -> Seen:
    request = BadgeRequest(
        **box.request("client", template=template_of(box))
        | {"issued_at": datetime(2026, 1, 5, 9, tzinfo=UTC), "issuer_earner_id": box.address("client")}
    )
    try:
        asyncio.run(_calls(box, request))
    except CredlyError as error:
        return Seen(False, f"{error.operation}: {type(error).__name__}, {error.code}")
    return Seen(True, "each call is read")


async def _calls(box: Sandbox, request: BadgeRequest) -> None:
    target, pause = box.target, 1 / box.target.calls_per_second
    opened = CredlyClient(
        base_url=target.url, organization_id=target.organization, token=SecretStr(target.token), max_connections=1
    )
    async with opened as credly:
        await credly.template(request.badge_template_id)
        await credly.templates()
        await credly.authorization_tokens()
        await asyncio.sleep(pause)
        box.unsure.add(request.recipient_email)
        first = await credly.issue_badge(request)
        box.made.append(first.id)
        box.unsure.discard(request.recipient_email)
        await credly.badge(first.id)
        await asyncio.sleep(pause)
        await credly.find_badges(badge_template_id=request.badge_template_id, issuer_earner_id=request.issuer_earner_id)
        # Not replace_badge: it cannot keep back Credly's mail.
        await credly.revoke_badge(first.id, reason="made by a probe", suppress_notification=True)
