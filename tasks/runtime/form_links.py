"""The addresses of forms on Prefect's pages, for links that open them filled in (`rules.forms.links`)."""

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.utilities.urls import url_for

from tasks.runtime.run import Run


async def form_address(run: Run, deployment: str) -> str:
    """Return the address of a deployment's form; empty if the server has no such deployment, or no pages."""
    if deployment not in run.forms:
        run.forms[deployment] = await _read(deployment)
    return run.forms[deployment]


async def _read(deployment: str) -> str:
    async with get_client() as client:
        try:
            found = await client.read_deployment_by_name(f"{deployment}/{deployment}")
        except ObjectNotFound:
            return ""
    # By PREFECT_UI_URL, or else by PREFECT_API_URL.
    page = url_for("deployment", obj_id=found.id)
    return f"{page}/run" if page else ""
