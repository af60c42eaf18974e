"""CSV, Parquet and Excel files, written batch by batch."""

from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.utils import get_column_letter

from reports.field import KEY, MOMENT, TEXT, WHOLE, YES_NO, Field
from rules.datasets import FileFormat
from rules.forms.inputs import InvalidInput

EXCEL_ROWS = 1_048_575  # without the heading
# Also full-width signs, and the leading control characters that a spreadsheet skips.
_FORMULA = "^\\s*[=+\\-@＝＋－＠]|^[\\t\\r\\n]"
_TEXT = pa.string()
_ARROW = {
    TEXT: _TEXT,
    KEY: pa.dictionary(pa.int32(), _TEXT),
    WHOLE: pa.int64(),
    YES_NO: pa.bool_(),
    MOMENT: pa.timestamp("us", tz="UTC"),
}
_EXCEL_WIDTH = {TEXT: 24, KEY: 24, WHOLE: 10, YES_NO: 8, MOMENT: 19}  # in characters
Write = Callable[[pd.DataFrame], None]


def too_many_for_excel(rows: int) -> InvalidInput:
    return InvalidInput(
        f"file_format: an Excel sheet holds {EXCEL_ROWS:,} rows, and these are {rows:,}. "
        "Choose CSV or Parquet, or a shorter period."
    )


def opened(
    path: Path, form: FileFormat, fields: Sequence[Field], about: Sequence[str]
) -> AbstractContextManager[Write]:
    """Open a file of this format for frames with these fields; the result writes one frame after the other.

    `about` is written to a sheet of its own in an Excel file; the other formats have no place for it.
    """
    match form:
        case FileFormat.CSV | FileFormat.CSV_WITH_BOM:
            return _csv(path, fields, bom=form is FileFormat.CSV_WITH_BOM)
        case FileFormat.PARQUET:
            return _parquet(path, fields)
        case FileFormat.EXCEL:
            return _excel(path, fields, about)


@contextmanager
def _csv(path: Path, fields: Sequence[Field], *, bom: bool) -> Iterator[Write]:
    schema = pa.schema([(field.name, _in_csv(field)) for field in fields])

    def write(frame: pd.DataFrame) -> None:
        columns = [_safe(column.cast(kind)) for column, kind in zip(_arrays(frame, fields), schema.types, strict=True)]
        writer.write_table(pa.table(columns, schema=schema))

    with path.open("wb") as file:
        file.write(BOM_UTF8 if bom else b"")  # without it Excel takes UTF-8 for the code page of the machine
        with pyarrow.csv.CSVWriter(file, schema) as writer:
            yield write


def _in_csv(field: Field) -> pa.DataType:
    if field.name in ("day", "week"):
        return pa.date32()
    return _TEXT if field.dtype == KEY else _ARROW[field.dtype]


def _safe(column: pa.Array) -> pa.Array:
    # An apostrophe before text that a spreadsheet would run as a formula: names on the platform are anyone's input.
    if column.type != _TEXT:
        return column
    formula = pc.match_substring_regex(column, _FORMULA)
    return pc.if_else(formula, pc.binary_join_element_wise("'", column, ""), column)


@contextmanager
def _parquet(path: Path, fields: Sequence[Field]) -> Iterator[Write]:
    schema = pa.schema([pa.field(field.name, _ARROW[field.dtype], metadata=_meaning(field)) for field in fields])

    def write(frame: pd.DataFrame) -> None:
        writer.write_table(pa.table(_arrays(frame, fields), schema=schema))

    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        yield write


def _meaning(field: Field) -> dict[str, str]:
    return {"meaning": field.meaning}


def _arrays(frame: pd.DataFrame, fields: Sequence[Field]) -> list[pa.Array]:
    return [_array(frame[field.name], field) for field in fields]


def _array(column: "pd.Series[Any]", field: Field) -> pa.Array:
    if field.dtype == KEY:
        return _whole(pa.array(column.astype("string"), type=_TEXT)).dictionary_encode()
    return _whole(pa.array(column, type=_ARROW[field.dtype]))


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


@contextmanager
def _excel(path: Path, fields: Sequence[Field], about: Sequence[str]) -> Iterator[Write]:
    book = Workbook(write_only=True)  # else the whole sheet is kept in memory
    sheet = book.create_sheet("data")
    sheet.freeze_panes = "A2"
    # Before the first row: the sheet is written from top to bottom.
    for number, field in enumerate(fields, start=1):
        sheet.column_dimensions[get_column_letter(number)].width = max(len(field.name) + 4, _EXCEL_WIDTH[field.dtype])
    sheet.append([field.name for field in fields])
    written = 0

    def write(frame: pd.DataFrame) -> None:
        nonlocal written
        written += len(frame)
        if written > EXCEL_ROWS:
            raise too_many_for_excel(written)
        for row in frame.itertuples(index=False, name=None):
            sheet.append([_cell(sheet, value) for value in row])

    try:
        yield write
        sheet.auto_filter.ref = f"A1:{get_column_letter(len(fields))}{written + 1}"
        notes = book.create_sheet("about")
        for line in about:
            notes.append([_cell(notes, line)])
        book.save(path)
    finally:
        book.close()


def _cell(sheet: Any, value: Any) -> Any:
    if isinstance(value, str):  # as a string by type, so that no text becomes a formula
        cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("\ufffd", value))
        cell.data_type = "s"
        return cell
    if pd.isna(value):
        return None
    # Excel has no time zones.
    return value.tz_localize(None).to_pydatetime() if isinstance(value, pd.Timestamp) else value
