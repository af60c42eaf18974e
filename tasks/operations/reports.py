"""Writing reports and exports. The run shows where they are, counts, and the first rows without personal data."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from reports.delivery import deliver
from reports.export import ExportRequest, export, personal_note
from reports.files import path_within
from reports.html import LONGEST_DAYS, write_report
from rules.forms.links import form_link
from rules.forms.period import Span, days_of, period_of
from rules.markdown import code, plain, table
from rules.wording import FormResult, counted
from tasks.runtime.form_links import form_address
from tasks.runtime.run import Run

_LINKS = 10


async def export_file(run: Run, /, *, days: tuple[date | None, date | None], folder: str, **options: Any) -> FormResult:
    """Export to a file, and report its path and number of rows.

    Raises:
        InvalidInput: folder, period, portal or the combination of options is invalid, or the rows do not fit.
    """
    where = path_within(folder, run.settings.reports_folder, field="folder")
    form = await form_address(run, "issue-badge")
    request = ExportRequest(period=period_of(*days), folder=str(where), issue_form=form, **options)
    done = await export(run.database, request)
    # In a thread: an upload takes as long as the network does.
    place = await asyncio.to_thread(deliver, done.path, run.settings, personal=done.note is not None)
    rows = counted(done.rows, "row")
    personal = " · with personal data" if done.note else ""
    shown = "The rows are" if len(done.shown) == done.rows else f"The first {len(done.shown)} rows are"
    lines = [
        f"# {rows}{personal}",
        f"{plain(done.request.words)}.",
        plain(done.incomplete, longest=500),
        f"File {place.words}",
        f"{shown} also in this run's artifact {code('export-table')}." if done.shown else "",
        explained(done.shown, await form_address(run, "explain")),
        "The columns are explained in docs/reference/data-dictionary.md. Moments and days are in UTC.",
    ]
    if done.note:
        lines.insert(1, f"**{plain(personal_note(), longest=1000)}**")
    sentence = f"{rows} of {done.request.words}{personal}"
    return FormResult(sentence=sentence, page="\n\n".join(filter(None, lines)), link=place.link, rows=done.shown)


def explained(rows: Sequence[Mapping[str, Any]], form: str) -> str:
    """Return links to the history of the badges of the first rows, in Markdown."""
    # In the cells of a table Prefect shows them as text.
    pairs = {
        (row["user_id"], row["achievement_id"]): None for row in rows if {"user_id", "achievement_id"} <= row.keys()
    }
    known = [(user, key) for user, key in pairs if user and key]
    links = [
        f"- [explain {code(key)} to {code(user)}]({form_link(form, user=user, achievement=key)})"
        for user, key in known[:_LINKS]
        if form
    ]
    return "\n".join(["Of the first rows:", "", *links]) if links else ""


async def report_file(
    run: Run, *, span: Span, days: tuple[date | None, date | None], portal: str, folder: str
) -> FormResult:
    """Write the report, and show its key figures and path.

    Raises:
        InvalidInput: the folder, the period or the portal is invalid.
    """
    where = path_within(folder, run.settings.reports_folder, field="folder")
    moment = run.now()
    chosen = days_of(period_of(*days), span, today=moment.date(), longest=LONGEST_DAYS)
    done = await write_report(run.database, chosen, portal=portal, folder=str(where), made_at=moment)
    place = await asyncio.to_thread(deliver, done.path, run.settings)
    numbers = " · ".join(f"{one.name.lower()} {one.value}" for one in done.headlines)
    rows = [(one.name, f"**{plain(one.value)}**", plain(one.change), plain(one.help)) for one in done.headlines]
    lines = [
        f"# {plain(done.title)}",
        table(("", "", "against the days before", "what it is"), rows),
        f"The whole report is a file that opens in any browser, without a network: {place.words}",
    ]
    return FormResult(sentence=numbers, page="\n\n".join(lines), link=place.link)
