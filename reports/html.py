"""The report as one HTML file that asks the network for nothing: `python -m reports.html --from 2026-11-01`."""

import argparse
import asyncio
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from models.database import Database, open_configured
from reports.asked import check_portal
from reports.figures import Figures, figures
from reports.files import folder_of, part_of_name, whole_file
from reports.page import Headline, headlines, page_of
from rules.choices import Mistake
from rules.period import Days, Span, days_of, period_of
from settings import settings

LONGEST_DAYS = 1100
TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report that was written: where, of which days, and its key numbers."""

    path: Path
    title: str
    headlines: Sequence[Headline]


def html_of(found: Figures) -> str:
    """Return the whole page."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["dates"] = _whole_dates
    style, script = (Markup((TEMPLATES / name).read_text("utf-8")) for name in ("report.css", "report.js"))  # noqa: S704
    return environment.get_template("report.html").render(
        page=page_of(found),
        title=title_of(found),
        days=found.now.days,
        before=found.before.days.period,
        made_at=f"{found.made_at:%Y-%m-%d %H:%M}",
        style=style,
        script=script,
    )


def _whole_dates(text: str) -> Markup:
    """Return the text with dates that no line ends within."""
    return Markup(re.sub(r"\d{4}-\d\d-\d\d", r'<span class="date">\g<0></span>', str(escape(text))))  # noqa: S704


def title_of(found: Figures) -> str:
    """Return the report's title."""
    portal = f" of {found.portal_name}" if found.portal_id else ""
    return f"Credly badges{portal} {found.now.days.period.words}"


async def write_report(database: Database, days: Days, *, portal: str, folder: str, made_at: datetime) -> Report:
    """Write the report of these days into the folder.

    Raises:
        Mistake: there is no such portal.
    """
    await check_portal(database, portal)
    found = await figures(database, days, portal_id=portal, made_at=made_at)
    page = await asyncio.to_thread(html_of, found)
    parts = ["laurel-report", *([part_of_name(portal)] if portal else []), days.period.name]
    path = folder_of(folder, default=settings().reports_folder) / f"{'-'.join(parts)}.html"
    with whole_file(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8")
    return Report(path=path, title=title_of(found), headlines=headlines(found))


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m reports.html", description="Write the report as an HTML file.")
    parser.add_argument("--span", default=Span.LAST_7_DAYS.value, choices=[each.value for each in Span])
    parser.add_argument("--from", dest="from_day", default="", help="first day, in UTC, such as 2026-11-01")
    parser.add_argument("--until", dest="until_day", default="", help="last day, in UTC, included")
    parser.add_argument("--portal", default="", help="only this portal (its id)")
    parser.add_argument("--folder", default="", help="where to write; LAUREL_REPORTS_FOLDER if empty")
    return parser.parse_args(arguments)


async def _run(given: argparse.Namespace) -> Report:
    now = datetime.now(UTC)
    period = period_of(given.from_day, given.until_day)
    days = days_of(period, Span(given.span), today=now.date(), longest=LONGEST_DAYS)
    async with open_configured() as database:
        return await write_report(database, days, portal=given.portal, folder=given.folder, made_at=now)


def main(arguments: Sequence[str]) -> int:
    """Write the report that the command line asks for; say where it is, or in one sentence why not."""
    try:
        done = asyncio.run(_run(_arguments(arguments)))
    except Mistake as mistake:
        sys.stderr.write(f"{mistake}\n")
        return 2
    sys.stdout.write(f"{done.title}: {done.path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
