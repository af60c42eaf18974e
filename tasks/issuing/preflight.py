"""Preflight: is the token of the organization accepted, and are its templates active?

A handful of calls instead of one refusal per badge. It also unblocks issuances whose cause is gone.
"""

from prefect import get_run_logger

from credly.errors import CredlyError, NotConnected, NotFound, NotSent
from models.ledger import claiming
from rules.ledger.reasons import CONNECTION_REASONS, Reason
from tasks.issuing.badge import fault_of_template
from tasks.operations.token_expiry import refresh_token_expiry
from tasks.runtime.organization import Organization, current_organization
from tasks.runtime.run import Run, current_run, laurel_task


@laurel_task(name="check organization")
async def check_organization() -> None:
    """Unblock issuances that Credly would accept now, block those that it would refuse, or stop the organization."""
    run, current = current_run.get(), current_organization.get()
    try:
        fault = await current.confirm()
    except (NotConnected, NotFound, NotSent):
        # Not in Credly's form, so a gateway answered: neither token nor organization is to blame.
        current.stop(Reason.NOT_REACHABLE)
        return
    except CredlyError as error:
        get_run_logger().warning("Organization %s could not be checked: %s", current.due.organization_id, error)
        return
    if fault is not None:
        return
    await run.database.write(claiming.unblock, CONNECTION_REASONS, current.due.scope, now=run.now())
    await refresh_token_expiry(run, current)
    await _check_templates(run, current)


async def _check_templates(run: Run, current: Organization) -> None:
    scope = current.due.scope
    templates = await run.database.read(claiming.templates_with_work, scope, now=run.now())
    for template_id in templates:
        try:
            fault = await fault_of_template(current, template_id)
        except CredlyError as error:
            get_run_logger().warning("Template %s could not be checked: %s", template_id, error)
            continue
        await run.database.write(claiming.set_template, fault, scope, now=run.now(), badge_template_id=template_id)
