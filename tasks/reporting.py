"""Writing reports and exports, and telling where they are: ids and counts, never the rows themselves."""

from datetime import date
from typing import Any

from reports.export import Wish, export, personal_note
from reports.html import LONGEST_DAYS, write_report
from rules.markup import code, plain, table
from rules.period import Span, days_of, period_of
from rules.told import Told, counted
from tasks.runtime.run import Run


async def export_file(run: Run, *, days: tuple[date | None, date | None], **wish: Any) -> Told:
    """Write the file and tell how many rows it has and where it is.

    Raises:
        Mistake: the period, the portal or the combination of wishes makes no sense, or the rows do not fit.
    """
    done = await export(run.database, Wish(period=period_of(*days), **wish))
    rows = counted(done.rows, "row")
    personal = " · with personal data" if done.note else ""
    lines = [
        f"# {rows}{personal}",
        f"{plain(done.wish.words)}.",
        f"File on the machine of the worker: {code(str(done.path), longest=500)}",
        "The columns are explained in docs/data-dictionary.md. Moments and days are in UTC.",
    ]
    if done.note:
        lines.insert(1, f"**{plain(personal_note(), longest=1000)}**")
    return Told(sentence=f"{rows} of {done.wish.words}{personal}", page="\n\n".join(lines))


async def report_file(run: Run, *, span: Span, days: tuple[date | None, date | None], portal: str, folder: str) -> Told:
    """Write the report and tell its key numbers and where it is.

    Raises:
        Mistake: the period or the portal makes no sense.
    """
    moment = run.now()
    chosen = days_of(period_of(*days), span, today=moment.date(), longest=LONGEST_DAYS)
    done = await write_report(run.database, chosen, portal=portal, folder=folder, made_at=moment)
    numbers = " · ".join(f"{one.name.lower()} {one.value}" for one in done.headlines)
    rows = [(one.name, f"**{plain(one.value)}**", plain(one.change), plain(one.help)) for one in done.headlines]
    lines = [
        f"# {plain(done.title)}",
        table(("", "", "against the days before", "what it is"), rows),
        f"The whole report is a file on the machine of the worker: {code(str(done.path), longest=500)}. "
        "It opens in any browser, without a network.",
    ]
    return Told(sentence=numbers, page="\n\n".join(lines))
