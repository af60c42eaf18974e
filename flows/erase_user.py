"""Erase one user."""

from typing import Annotated

from prefect import State, flow
from pydantic import Field

from rules.forms.inputs import OperatorId, UserId, free_text
from rules.ledger.erasure import BadgesAtCredly
from tasks.forms.erase_user import EraseForm, preview_erasure
from tasks.forms.erase_user import erase_user as erase
from tasks.forms.run_form import finish_form, run_form
from tasks.runtime.run import run_context


@flow(name="erase-user", persist_result=False)
async def erase_user(
    user: UserId,
    reason: Annotated[str, Field(min_length=1), free_text(500)],
    badges_at_credly: BadgesAtCredly = BadgesAtCredly.LEAVE,
    preview: bool = True,
    operator: OperatorId = "",
) -> State[None]:
    """Erase permanently everything that identifies one user. The user gets no further badge.

    The user's rows in the ledger are made anonymous, so that counts stay correct. Prefect's runs with the user's id are
    deleted. The user's data on the platform is not: erase it there. SECURITY.md lists what is erased and what remains.

    Args:
        user: The user's id on the platform.
        reason: Why the user is erased. It is kept, so enter no personal data and not the user's id.
        badges_at_credly: Leave the badges at Credly, revoke them, or delete them with all their data. Revoking and
            deleting cannot be undone.
        preview: Show what would be erased, and change nothing. Switch it off to erase.
        operator: Your own id, kept in the history. No e-mail address.
    """
    form = EraseForm(user=user, reason=reason, badges_at_credly=badges_at_credly)
    async with run_context() as run:
        if preview:
            return await finish_form(preview_erasure(run, form), key="erase-user")
        return await run_form(run, operator, erase(run, form), key="erase-user")
