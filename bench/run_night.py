"""The ledger's part of an organization's audit night, without Credly and Prefect. Prints one line of JSON."""

import asyncio
import json
import sys
import time
from datetime import datetime
from functools import partial
from math import ceil

from bench.spent import peak_megabytes
from models.database import Database, open_configured
from models.ledger import claiming
from models.ledger.claiming import DueOrganization
from models.operations import audit
from models.planning.withdrawn import withdrawn_among
from tasks.operations import audit as night


async def run(rounds: int) -> dict[str, object]:
    seconds = []
    async with open_configured() as database:
        organizations = await database.read(claiming.connected_organizations, portal_id="")
        for due in organizations[:rounds]:
            began = time.perf_counter()
            await _audit(database, due)
            seconds.append(time.perf_counter() - began)
    return {"seconds": seconds, "peak_megabytes": peak_megabytes()}


async def _audit(database: Database, due: DueOrganization) -> None:
    moment = datetime.now().astimezone()
    issued = await database.read(audit.issued_count, portal_ids=due.portal_ids)
    part = max(night._READ_AS_A_WHOLE, ceil(issued / night._ROUND_NIGHTS))
    not_seen = partial(
        audit.not_seen, portal_ids=due.portal_ids, since=None, recorded_before=moment - night.LISTED_AFTER
    )
    unseen = await database.read(not_seen, limit=part)
    for start in range(0, len(unseen), night._PAGE_ROWS):
        states = {each.credly_badge_id: "accepted" for each in unseen[start : start + night._PAGE_ROWS]}
        await database.read(audit.known, list(states))
        await database.write(audit.note_states, states, now=moment)
    await database.read(not_seen, limit=night._MAX_NEW_BADGES)
    await withdrawn_among(database, audit.ISSUED_AND_VALID, portal_ids=due.portal_ids, now=moment)
    await database.read(audit.counts, portal_ids=due.portal_ids)


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(asyncio.run(run(int(sys.argv[1])))) + "\n")
