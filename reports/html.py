"""The report as one HTML file without any request to the network: `python -m reports.html --from 2026-11-01`."""

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
from reports.figures import Figures, figures
from reports.files import folder_of, part_of_name, whole_file
from reports.inputs import check_portal
from reports.page import Headline, headlines, page_of
from rules.forms.inputs import InvalidInput
from rules.forms.period import Days, Span, days_of, period_of
from settings import settings

LONGEST_DAYS = 1100
TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report that was written: its path, title and key numbers."""

    path: Path
    title: str
    headlines: Sequence[Headline]


def html_of(numbers: Figures) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["dates"] = _whole_dates
    style, script = (Markup((TEMPLATES / name).read_text("utf-8")) for name in ("report.css", "report.js"))  # noqa: S704
    return environment.get_template("report.html").render(
        page=page_of(numbers),
        title=title_of(numbers),
        days=numbers.now.days,
        before=numbers.before.days.period,
        made_at=f"{numbers.made_at:%Y-%m-%d %H:%M}",
        style=style,
        script=script,
    )


def _whole_dates(text: str) -> Markup:
    # A date is not broken across lines; its hyphens would allow that.
    return Markup(re.sub(r"\d{4}-\d\d-\d\d", r'<span class="date">\g<0></span>', str(escape(text))))  # noqa: S704


def title_of(numbers: Figures) -> str:
    portal = f" of {numbers.portal_name}" if numbers.portal_id else ""
    return f"Credly badges{portal} {numbers.now.days.period.words}"


async def write_report(database: Database, days: Days, *, portal: str, folder: str, made_at: datetime) -> Report:
    """Write the report of these days into the folder.

    Raises:
        InvalidInput: there is no such portal.
    """
    await check_portal(database, portal)
    numbers = await figures(database, days, portal_id=portal, made_at=made_at)
    # In a thread: drawing the charts takes seconds, in which the run's heartbeats would stop.
    page = await asyncio.to_thread(html_of, numbers)
    parts = ["laurel-report", *([part_of_name(portal)] if portal else []), days.period.name]
    path = folder_of(folder, default=settings().reports_folder) / f"{'-'.join(parts)}.html"
    with whole_file(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8")
    return Report(path=path, title=title_of(numbers), headlines=headlines(numbers))


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m reports.html", description="Write the report as an HTML file.")
    parser.add_argument("--span", default=Span.LAST_7_DAYS.value, choices=[each.value for each in Span])
    parser.add_argument("--from", dest="from_day", default="", help="first day, in UTC, such as 2026-11-01")
    parser.add_argument("--until", dest="until_day", default="", help="last day, in UTC, included")
    parser.add_argument("--portal", default="", help="only this portal (its id)")
    parser.add_argument("--folder", default="", help="where to write; LAUREL_REPORTS_FOLDER if empty")
    return parser.parse_args(arguments)


async def _run(arguments: argparse.Namespace) -> Report:
    now = datetime.now(UTC)
    period = period_of(arguments.from_day, arguments.until_day)
    days = days_of(period, Span(arguments.span), today=now.date(), longest=LONGEST_DAYS)
    async with open_configured() as database:
        return await write_report(database, days, portal=arguments.portal, folder=arguments.folder, made_at=now)


def main(arguments: Sequence[str]) -> int:
    """Write a report by the options of the command line; print the path, or in one sentence what is wrong."""
    try:
        done = asyncio.run(_run(_arguments(arguments)))
    except InvalidInput as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{done.title}: {done.path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
