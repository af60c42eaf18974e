"""Writing reports and exports, and telling where they are: ids and counts, never the rows themselves."""

from datetime import date
from typing import Any

from reports.export import Wish, export, personal_note
from rules.markup import code, plain
from rules.period import period_of
from rules.told import Told, counted
from tasks.resources import database


async def export_file(*, days: tuple[date | None, date | None], **wish: Any) -> Told:
    """Write the file and tell how many rows it has and where it is.

    Raises:
        Mistake: the period, the portal or the combination of wishes makes no sense, or the rows do not fit.
    """
    done = await export(database(), Wish(period=period_of(*days), **wish))
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
