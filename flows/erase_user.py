"""Erase one user."""

from typing import Annotated

from prefect import State, flow
from pydantic import Field

from rules.choices import OperatorId, UserId, WithoutAddress
from rules.erasure import BadgesAtCredly
from tasks.forms.erase_user import Erasing, preview_erasure
from tasks.forms.erase_user import erase_user as erase
from tasks.people import tell, tell_form
from tasks.runtime.run import run_context


@flow(name="erase-user", persist_result=False)
async def erase_user(
    user: UserId,
    reason: Annotated[WithoutAddress, Field(min_length=1, max_length=500)],
    badges_at_credly: BadgesAtCredly = BadgesAtCredly.LEAVE,
    preview: bool = True,
    operator: OperatorId = "",
) -> State[None]:
    """Erase everything that identifies one user, for good; no badge is issued to this user again.

    What remains of the user's badges in the ledger is anonymous and keeps the counts right. Runs of Prefect that were
    started with the user's id are deleted. Erase the user on the platform as well: that is not done here. SECURITY.md
    says what is erased and what remains.

    Args:
        user: The user's id on the platform.
        reason: Why. It is kept: no personal data in it, and not the user's id.
        badges_at_credly: Leave the badges at Credly, revoke them, or delete them with what Credly has of them. There is
            no way back from either.
        preview: Show what would be erased, and change nothing. Switch it off to erase.
        operator: Your own id, kept in the history. No e-mail address.
    """
    chosen = Erasing(user=user, reason=reason, badges_at_credly=badges_at_credly)
    async with run_context() as run:
        if preview:
            return await tell(preview_erasure(run, chosen), key="erase-user")
        return await tell_form(run, operator, erase(run, chosen), key="erase-user")
