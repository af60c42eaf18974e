"""Giving up calls whose outcome cannot be found out any more, because their Credly organization cannot be reached."""

from models.ledger import outstanding
from rules.markdown import plain
from rules.wording import FormResult, counted, nothing_to_do
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
        InvalidInput: there is no such portal, or the organization's id is none.
    """
    await known_portal(run, portal)
    organization_id = credly_id(organization, field="organization_id")
    count = await run.database.read(outstanding.count_at, portal, organization_id)
    if not count:
        return nothing_to_do(f"no call of portal {portal} is outstanding at {organization_id}")
    calls = counted(count, "outstanding call")
    if preview:
        sentence = f"Preview: {calls} of portal {portal} would be given up, nothing was done"
        return FormResult(sentence=sentence, page=f"# Preview\n\n{plain(sentence)}.\n\n{_RISK}")
    done = await run.database.write(outstanding.abandon_at, portal, organization_id, now=run.now())
    sentence = f"{counted(done, 'outstanding call')} of portal {portal} given up; the next run of reconcile goes on"
    return FormResult(sentence=sentence, page=f"# Calls given up\n\n{plain(sentence)}.\n\n{_RISK}")
