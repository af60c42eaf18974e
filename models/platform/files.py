"""Why DuckDB refused a file: the file, the line and the cause, without what is in the line."""

import csv
import re
from pathlib import Path

_FILE_OF_CSV_ERROR = re.compile(r"^\s*file = (.+)$", re.MULTILINE)
_NAMED_FILE = re.compile(r"(?:pattern|file|File) [\"']([^\"']+)[\"']")
# DuckDB's messages quote the line, so only their fixed parts are kept.
_CAUSES = {
    r"No files found|No such file": "there is no such file",
    r"Permission denied": "Laurel's user may not read it",
    r"not utf-8 encoded": "it is not in UTF-8: save it as CSV UTF-8",
    r"unterminated quote": "a quotation mark is not closed",
    r"magic bytes|too small to be a Parquet|not a parquet|Parquet": "it is no Parquet file, or only a part of one",
}


def cause_in_file(message: str, statement: str | None) -> str | None:
    """Return the file and what is wrong with it, by DuckDB's message and the statement; None: something else is."""
    of_csv = _FILE_OF_CSV_ERROR.search(message) or _NAMED_FILE.search(message)
    line = re.search(r"CSV Error on Line: (\d+)", message)
    where = f"{of_csv[1]}{f' line {line[1]}' if line else ''}" if of_csv else ""
    if where and (uneven := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)):
        return f"{where}: it has {uneven[2]} values for {uneven[1]} columns"
    if where and (found := next((why for pattern, why in _CAUSES.items() if re.search(pattern, message)), None)):
        return f"{where}: {found}"
    # One uneven row near the beginning, and DuckDB takes each line for one value.
    if unnamed := re.search(r'Binder Error: (?:Referenced c|C)olumn "(\w+)"', message):
        files = _csv_files(statement or "")
        names = f"The first line of {' or '.join(map(str, files))} names no column {unnamed[1]}, which a query reads"
        return next(filter(None, map(_uneven_row, files)), names) if files else None
    return None


def _csv_files(statement: str) -> list[Path]:
    joined = re.sub(r"'\s*\|\|\s*'", "", statement)
    return [Path(name) for name in dict.fromkeys(re.findall(r"'([^']+\.csv)'", joined)) if Path(name).is_file()]


def _uneven_row(file: Path) -> str | None:
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as opened:
        first = opened.readline()
        opened.seek(0)
        rows = csv.reader(opened, delimiter=max(",;\t|", key=first.count))
        try:
            columns = len(next(rows, ()))
            for values in filter(None, rows):
                if len(values) != columns:
                    return f"{file} line {rows.line_num}: it has {len(values)} values for {columns} columns"
        except csv.Error:
            return f"{file} line {rows.line_num}: it is too long; is a quotation mark not closed?"
    return None
