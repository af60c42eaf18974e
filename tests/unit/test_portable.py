"""What a run did gets to another machine whole."""

from collections import Counter
from datetime import timedelta

import pytest
from pydantic import ValidationError

from rules.details import Details, Named, SlowCall
from rules.portable import packed, unpacked
from rules.reasons import Reason
from rules.states import IssuanceState
from rules.tally import Tally

TALLY = Tally(
    done=Counter({(IssuanceState.ISSUED, None): 3, (IssuanceState.FAILED, Reason.NAME_MISSING): 1}),
    open=Counter({(IssuanceState.BLOCKED, Reason.TOKEN_REFUSED): 4}),
    adopted=2,
    details=Details(
        cells=Counter({("portal", "achievement", IssuanceState.ISSUED): 3}),
        named={(IssuanceState.FAILED, Reason.NAME_MISSING): [Named(7, "achievement", "user", "portal")]},
        slowest=[SlowCall(timedelta(milliseconds=1234), 7, "issue", "issued")],
    ),
    stopped=Reason.TOKEN_REFUSED,
)


@pytest.mark.parametrize("tally", [TALLY, Tally()])
def test_what_is_packed_comes_out_again(tally: Tally) -> None:
    assert unpacked(packed(tally)) == tally


def test_counts_go_on_being_added_up() -> None:
    assert (unpacked(packed(TALLY)) + TALLY).sentence == (TALLY + TALLY).sentence


def test_what_another_version_packed_is_refused() -> None:
    with pytest.raises(ValidationError):
        unpacked('{"done": 3}')
