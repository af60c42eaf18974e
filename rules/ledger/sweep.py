"""How many rows of a sweep one run checks, so that a sweep ends within a day, and which of them it must decide on."""

from datetime import timedelta
from math import ceil

from rules.ledger.eligibility import Coverage
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState

HOLD_NAMES_ABOVE = 100  # badges to be replaced for corrected names
ROUND_WITHIN = timedelta(hours=20)  # a day, less some hours for runs that were skipped


def rows_for_run(*, of_round: int, since: timedelta | None, at_least: int) -> int:
    """Return how many rows a run checks: `at_least`, or more if the sweep would not end within a day.

    `of_round` is the number of rows of the sweep, `since` the time since a run last worked on it; None is never.
    """
    if since is None:
        return at_least
    return max(at_least, ceil(of_round * (since / ROUND_WITHIN)))


def settings_contradict(
    coverage: Coverage | None,
    *,
    badge_template_id: str,
    state: str,
    reason: str | None,
    connected: bool,
    elsewhere: bool,
    to_be_replaced: bool,
    outstanding: bool,
    former: bool,
) -> bool:
    """Whether the settings alone change an open row, whatever its awards: `decide` without reading those.

    `elsewhere`: its achievement belongs to another portal now, which `connected` is about.
    """
    # For speed: a sweep checks 50 000 rows with it, and reads awards only for those that match or have no valid award.
    not_connected = state == IssuanceState.BLOCKED and reason == Reason.PORTAL_NOT_CONNECTED
    if outstanding:
        return not_connected
    if coverage is None or former:
        return state != IssuanceState.FAILED or to_be_replaced
    if coverage.badge_template_id != badge_template_id or elsewhere:
        return True
    if to_be_replaced and reason == Reason.NAME_CORRECTED and not coverage.follows_names:
        return True
    return not connected if state == IssuanceState.PENDING else connected and not_connected
