"""Giving up calls whose outcome cannot be learnt any more, because their Credly organization cannot be reached."""

from models.ledger import outstanding
from rules.forms.inputs import InvalidInput
from rules.markdown import code, plain
from rules.wording import FormResult, counted
from tasks.forms.run_form import credly_id, known_portal
from tasks.runtime.run import Run

_RISK = (
    "Credly may have made these badges in that organization. Afterwards they are issued by the portal's present "
    "settings, so a learner may get a second badge. If that organization's token can still be had, put it into the "
    "Secret block instead: the next run of reconcile then settles the calls, and nothing is issued twice."
)


async def abandon_calls(run: Run, portal: str, organization: str, *, preview: bool) -> FormResult:
    """Give up the portal's outstanding calls to an organization, or count them.

    Raises:
        InvalidInput: there is no such portal, or no call is outstanding there.
    """
    await known_portal(run, portal)
    organization_id = credly_id(organization, field="organization_id")
    count = await run.database.read(outstanding.count_at, portal, organization_id)
    if not count:
        raise InvalidInput(
            f"organization_id: no call of portal {code(portal)} is outstanding at {code(organization_id)}, or a run is "
            "settling it at this moment."
        )
    calls = counted(count, "outstanding call")
    if preview:
        sentence = f"Preview: {calls} of portal {portal} would be given up, nothing was done"
        return FormResult(sentence=sentence, page=f"# Preview\n\n{plain(sentence)}.\n\n{_RISK}")
    done = await run.database.write(outstanding.abandon_at, portal, organization_id, now=run.now())
    sentence = f"{counted(done, 'outstanding call')} of portal {portal} given up; the next run of reconcile goes on"
    return FormResult(sentence=sentence, page=f"# Calls given up\n\n{plain(sentence)}.\n\n{_RISK}")
