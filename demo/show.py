"""What the demo prints: counts, sentences and links, and no names or addresses of users."""

from collections import Counter
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from demo.credly_data import ORGANIZATIONS, invented_id
from demo.outcome import LedgerCounts
from rules.ledger.states import IssuanceState

console = Console(highlight=False)


def show_step(number: int, of: int, words: str) -> None:
    console.print(f"\n[bold]{number}/{of}  {words}[/bold]")


def show_progress(ledger: LedgerCounts) -> None:
    stopped = ledger.of(IssuanceState.FAILED, IssuanceState.BLOCKED)
    waiting = ledger.of(IssuanceState.PENDING, IssuanceState.ISSUING)
    console.print(f"     {ledger.issued:>4} issued, {stopped:>3} not issued for a reason, {waiting:>4} waiting")


def show_ledger(ledger: LedgerCounts, awards_without_row: Mapping[str, int]) -> None:
    table = Table(title="What became of the awards", title_justify="left", show_footer=True)
    table.add_column("State", footer="all awards", no_wrap=True)
    table.add_column("Why")
    total = sum(row.count for row in ledger.by_state) + sum(awards_without_row.values())
    table.add_column("Awards", justify="right", footer=str(total), no_wrap=True)
    for row in ledger.by_state:
        table.add_row(row.state.value, row.sentence, str(row.count))
    for sentence, count in awards_without_row.items():
        table.add_row("not eligible", sentence, str(count))
    console.print(table)


def show_faults(happened: Mapping[str, int], ledger: LedgerCounts) -> None:
    """Print what went wrong at the stand-in, and how many badges were found there instead of being sent again."""
    console.print(
        f"     {sum(happened.values())} of the stand-in's answers got lost or went wrong; "
        f"{ledger.adopted} badges were found there after their answers had got lost."
    )


def show_comparison(ledger: LedgerCounts, at_credly: Counter[str]) -> bool:
    """Print the issued of the ledger beside the badges at the stand-in; return whether they are equal."""
    table = Table()
    for heading in ("Credly organization", "issued in the ledger", "badges at the stand-in", ""):
        table.add_column(heading, justify="left" if heading == "Credly organization" else "right")
    for portal, name in ORGANIZATIONS.items():
        organization_id = invented_id("organization", portal)
        ours, theirs = ledger.issued_by_organization.get(organization_id, 0), at_credly[organization_id]
        table.add_row(name, str(ours), str(theirs), "equal" if ours == theirs else "NOT EQUAL")
    agreed = ledger.issued_by_organization == dict(at_credly)
    console.print(table)
    if not agreed:
        console.print("     The ledger and the stand-in do not agree.", style="red")
    return agreed


def show_where_to_look(*, prefect: str, standin: str, badge_url: str | None) -> None:
    console.print(
        "\nCredly was a stand-in on this machine: no badge exists at Credly and no mail was sent.\n"
        "Ledger and run history are kept in .laurel/. To look around, start\n\n"
        "    [bold]make up[/bold]\n\n"
        "and open the addresses it prints:"
    )
    pages = {
        "the runs, with what each did": f"{prefect}/v2/runs",
        "the badges, as an organization sees them": f"{standin}/",
    }
    if badge_url:
        pages["one badge with its evidence, as a learner sees it"] = badge_url
    for what, address in pages.items():
        console.print(f"    {address}   {what}", soft_wrap=True)
