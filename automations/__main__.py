"""Applies the automations to Prefect's server: `python -m automations [BLOCK]`. Safe to run again.

BLOCK is a notification block, such as `slack-webhook/operators`, that sends the alerts. It is kept until another is
given or it is deleted.
"""

import asyncio
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from prefect.automations import Automation
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import BlockDocument
from prefect.events import emit_event
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound

from automations.alerts import Alerts
from automations.dead_runs import DeadRuns
from automations.silence import NOTHING_HAS_RUN, WATCH_BEGAN, Silence
from settings import settings

_NEEDED = ("reconcile", "issue-organization", "check")


async def apply(automation: Automation) -> None:
    """Create or update the automation of this name. One that an operator switched off stays off."""
    async with get_client() as client:
        there = await client.read_automations_by_name(automation.name)
    if not there:
        await automation.acreate()
    # Only if it changed: an update resets the events that the server has counted for its trigger.
    elif _content(automation) != _content(there[0]):
        automation.id, automation.enabled = there[0].id, there[0].enabled
        await automation.aupdate()


def _content(automation: AutomationCore) -> dict[str, Any]:
    # Without the fields that the server adds.
    added: Any = {"id": True, "triggers": {"__all__": {"id"}}}
    return automation.model_dump(include={"name", "description", "trigger", "actions"}, exclude={"trigger": added})


async def main(block: str = "") -> int:
    """Apply all automations, and alerts only where there is a notification block. Returns the exit code."""
    async with get_client() as client:
        try:
            ids = {name: (await client.read_deployment_by_name(f"{name}/{name}")).id for name in _NEEDED}
        except ObjectNotFound as missing:
            return _complain(f"{missing}. Run `python -m scripts.setup_deployment` first.")
        blocks = await notification_blocks(client)
        used = await _blocks_in_use(client)
    if block:
        wanted = [key for name, key in blocks.items() if block in (name, name.partition("/")[2])]
    else:
        wanted = [key for key in blocks.values() if key in used]
    if block and len(wanted) != 1:
        names = ", ".join(sorted(blocks)) or "none"
        return _complain(f"{block} does not name one notification block. Name it as type/name; there are: {names}.")
    for automation in automations(ids, wanted[0] if wanted else None):
        await apply(automation)
    begin_watch(ids["reconcile"])
    return 0


async def _blocks_in_use(client: PrefectClient) -> set[UUID]:
    """Return the notification blocks of the automation for silence as it is on the server."""
    return {
        action.block_document_id
        for automation in await client.read_automations_by_name(NOTHING_HAS_RUN)
        for action in automation.actions
        if isinstance(action, SendNotification)
    }


def automations(ids: Mapping[str, UUID], block: UUID | None) -> Iterator[Automation]:
    reconcile, configured = ids["reconcile"], settings()
    yield from DeadRuns(reconcile=reconcile, heartbeat=configured.heartbeat).all()
    yield from Silence(
        issuing=(reconcile, ids["issue-organization"]),
        check=ids["check"],
        within=configured.alert_no_run_for,
        block=block,
    ).all()
    if block is not None:
        yield from Alerts(block=block, reconcile=reconcile).all()


async def notification_blocks(client: PrefectClient) -> dict[str, UUID]:
    """Return the id of each notification block by its `type/name`."""
    documents: list[BlockDocument] = []
    # Each connection has a block of its own, too: there may be more than Prefect's server returns at once.
    while page := await client.read_block_documents(include_secrets=False, offset=len(documents)):
        documents += page
    return {
        f"{each.block_type.slug}/{each.name}": each.id
        for each in documents
        if each.block_type and each.block_schema and "notify" in each.block_schema.capabilities
    }


def begin_watch(reconcile: UUID) -> None:
    # Starts the silence timer now. Otherwise it would start with the end of the first run.
    resource = {"prefect.resource.id": f"prefect.deployment.{reconcile}"}
    emit_event(WATCH_BEGAN, resource=resource, related=[resource | {"prefect.resource.role": "deployment"}])


def _complain(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:2])))
