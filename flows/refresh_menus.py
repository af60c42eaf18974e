"""Refresh the menus of the forms."""

from prefect import State, flow

from tasks.forms.run_form import finish_form
from tasks.menus.refresh import refresh
from tasks.runtime.run import run_context


@flow(name="refresh-menus", persist_result=False)
async def refresh_menus() -> State[None]:
    """Read the badge templates from Credly, and refresh the menus of all forms.

    Runs every night. Start it where something was created or renamed, and is not in the menus yet.
    """
    async with run_context() as run:
        return await finish_form(refresh(run), key="refresh-menus")
