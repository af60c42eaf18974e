"""Frames with the columns and dtypes of the dictionary, made from rows or joined from several frames."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from pandas.api.types import union_categoricals

from reports.field import KEY, MOMENT, Field


def typed(rows: Iterable[Sequence[Any]], fields: Sequence[Field]) -> pd.DataFrame:
    """Return a frame of the rows, whose values are in the order of the fields."""
    columns = list(zip(*rows, strict=True)) or [()] * len(fields)
    return shaped({field.name: values for field, values in zip(fields, columns, strict=True)}, fields)


def shaped(columns: Mapping[str, Any] | pd.DataFrame, fields: Sequence[Field]) -> pd.DataFrame:
    """Return a frame with exactly these columns, in the order of the fields and with their dtypes."""
    return pd.DataFrame({field.name: _column(columns[field.name], field) for field in fields})


def joined(frames: Sequence[pd.DataFrame], fields: Sequence[Field]) -> pd.DataFrame:
    """Return the frames as one, with the categories of all of them."""
    if not frames:
        return typed([], fields)
    return pd.DataFrame(
        {
            field.name: _joined_column([frame[field.name] for frame in frames], field).reset_index(drop=True)
            for field in fields
        }
    )


def _joined_column(parts: Sequence["pd.Series[Any]"], field: Field) -> "pd.Series[Any]":
    if field.dtype == KEY:
        # `concat` loses the categories where those of the frames differ, and batches have different portals.
        return pd.Series(union_categoricals(list(parts), sort_categories=not field.choices))
    whole: pd.Series[Any] = pd.concat(list(parts))
    return whole


def _column(values: Any, field: Field) -> "pd.Series[Any]":
    if field.dtype == KEY:
        return pd.Series(_categories(values, field))
    if field.dtype == MOMENT:
        return pd.Series(pd.to_datetime(pd.Series(values, dtype=object), utc=True).dt.as_unit("us"))
    return pd.Series(values, dtype=field.dtype)


def _categories(values: Any, field: Field) -> pd.Categorical:
    if field.choices:  # all of them, so that a plot or a pivot shows the empty ones too
        return pd.Categorical(list(values), categories=list(field.choices))
    return pd.Categorical(pd.array(list(values), dtype="string"))
