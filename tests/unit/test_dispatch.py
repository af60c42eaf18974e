"""Which organizations share a flow run."""

from models.ledger.claiming import DueOrganization
from tasks.issuing.dispatch import FEW_BADGES, grouped, shares


def organizations(*due: int, settles: tuple[str, ...] = ()) -> list[DueOrganization]:
    return [
        DueOrganization(
            organization_id=f"organization-{number}",
            base_url="https://credly.example.org/v1",
            token_block=f"block-{number}",
            calls_per_second=3,
            portal_ids=(f"portal-{number}",),
            due=count,
            settles=settles,
        )
        for number, count in enumerate(due)
    ]


def test_each_has_a_run_of_its_own_while_all_are_under_way_at_once() -> None:
    assert [len(group) for group in grouped(organizations(*[5] * 50), at_once=50)] == [1] * 50


def test_of_many_those_with_few_badges_share_runs() -> None:
    many = organizations(*[5] * 119, FEW_BADGES, FEW_BADGES + 1)

    found = grouped(many, at_once=50)

    assert [len(group) for group in found] == [1, 50, 50, 20]
    assert found[0] == (many[-1],)
    assert sorted(each.key for group in found for each in group) == sorted(each.key for each in many)


def test_one_that_resolves_calls_elsewhere_shares_no_run() -> None:
    assert [len(group) for group in grouped(organizations(5, 5, 5, settles=("moved",)), at_once=2)] == [1] * 3


def test_with_a_limit_none_shares_a_run() -> None:
    allotted = shares(organizations(5, 5, 5), limit=7, at_once=2)

    assert [(len(group), share) for group, share in allotted] == [(1, 5), (1, 2)]
