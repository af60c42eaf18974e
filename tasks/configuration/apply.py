"""Storing what a file of settings changes, with its origin in the history."""

from collections import Counter
from datetime import datetime
from uuid import uuid4

from prefect.blocks.system import Secret
from pydantic import SecretStr

from models.planning.preview import count_due_at_once
from models.setup import admin as setting_up
from models.setup.operator_runs import put_operator
from rules.forms.configuration import InvalidConfiguration
from rules.forms.inputs import operator_id
from rules.ledger.settings_changes import SettingsOf
from rules.wording import counted
from tasks.configuration.plan import Plan
from tasks.runtime.run import Run, run_ids

_LONGEST_ORIGIN = 255


async def apply(
    run: Run,
    plan: Plan,
    ends: dict[str, datetime | None],
    *,
    origin: str,
    operator: str = "",
    token: SecretStr | None = None,
) -> tuple[str, list[str]]:
    """Store the changes of a plan in one transaction; return a sentence, and the achievements that are held.

    `origin` is kept in the history, such as the name of the file. `token` goes into the Secret blocks first.

    Raises:
        InvalidConfiguration: a form has changed one of these settings since they were compared; nothing was stored.
        InvalidInput: the operator's id cannot be used; nothing was stored.
    """
    given, moment = operator_id(operator), run.now()
    if run_ids().flow_run_id is None:
        # The history names who changed something by the id of a run; a command has none of Prefect's.
        own = str(uuid4())
        run.database.flow_run = lambda: own
    await run.database.write(put_operator, creator=origin[:_LONGEST_ORIGIN], operator_id=given, now=moment)
    stored = []
    for portal in plan.configuration.connections if token is not None else ():
        block: Secret[str] = Secret(value=token)
        await block.asave(name := plan.connections[portal]["token_block"], overwrite=True)
        stored.append(f"Token stored in Secret block {name}.")
        if (ends_at := ends[portal]) is not None:
            await run.database.write(setting_up.put_token_end, [portal], ends_at)
    connected = {portal: {"token_ends_at": ends_at, "connected_at": moment} for portal, ends_at in ends.items()}
    done = await run.database.write(setting_up.apply, plan.changes, connected=connected, now=moment)
    if done is None:
        raise InvalidConfiguration(
            ["Settings were changed since they were compared; nothing was stored. Run the command again."]
        )
    held = []
    for achievement in done.held:
        columns = next(each.after for each in plan.of(SettingsOf.INTEGRATION) if each.key == achievement)
        due = await count_due_at_once(run.database, achievement, now=moment)
        if due > (limit := plan.configuration.integrations[achievement].hold_above):
            many = f"{counted(due, 'badge')} would be issued at once, more than {limit}"
            held.append(f"{achievement}: HELD, {many}. Run release-credly to release them")
        elif columns is not None:
            await run.database.write(setting_up.release_own_hold, achievement, columns, held_at=moment, now=moment)
    return " ".join([_sentence(plan, done), *stored]).strip(), held


def _sentence(plan: Plan, done: setting_up.Applied) -> str:
    kinds = Counter(
        (each.settings_of, "new" if each.before is None else "changed" if each.after is not None else "removed")
        for each in plan.changes
    )
    parts = [f"{counted(count, str(settings_of))} {verb}" for (settings_of, verb), count in kinds.items()]
    badges = (
        (done.retargeted, "will have the new template"),
        (done.cancelled, "cancelled"),
        (done.blocked, "blocked until the portal is connected again"),
    )
    parts += [f"{counted(count, 'waiting badge')} {what}" for count, what in badges if count]
    return f"Applied: {', '.join(parts)}." if parts else ""
