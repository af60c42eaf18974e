"""A look at the organization before its badges: is the token accepted, are the templates active?

A handful of calls in place of one refusal for each badge; and the way by which what is blocked gets free again.
"""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from credly.errors import CredlyError, NotConnected, NotFound, NotSent
from models.ledger import claiming
from rules.reasons import CONNECTION_REASONS, Reason
from tasks.one_badge import fault_of_template
from tasks.runtime.organization import Organization, current_organization
from tasks.runtime.run import Run, current_run
from tasks.token_end import learn_token_end


@task(name="check organization", cache_policy=NO_CACHE, persist_result=False)
async def check_organization() -> None:
    """Unblock what Credly would accept now, block what it would refuse; stop the organization if it must be."""
    run, current = current_run.get(), current_organization.get()
    try:
        fault = await current.confirm()
    except (NotConnected, NotFound, NotSent):
        current.stop(Reason.NOT_REACHABLE)
        return
    except CredlyError as error:
        get_run_logger().warning("Organization %s could not be checked: %s", current.due.organization_id, error)
        return
    if fault is not None:
        return
    await run.database.write(claiming.unblock, CONNECTION_REASONS, now=run.now(), **current.due.scope)
    await learn_token_end(run, current)
    await _check_templates(run, current)


async def _check_templates(run: Run, current: Organization) -> None:
    scope = current.due.scope
    templates = await run.database.read(claiming.templates_with_work, now=run.now(), **scope)
    for template_id in templates:
        try:
            fault = await fault_of_template(current, template_id)
        except CredlyError as error:
            get_run_logger().warning("Template %s could not be checked: %s", template_id, error)
            continue
        await run.database.write(
            claiming.set_template, fault, scope=scope, now=run.now(), badge_template_id=template_id
        )
