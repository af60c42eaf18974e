"""One column of a data set."""

from dataclasses import dataclass
from enum import StrEnum

TEXT, KEY, WHOLE, YES_NO, MOMENT = "string", "category", "Int64", "boolean", "datetime64[us, UTC]"


@dataclass(frozen=True, kw_only=True)
class Field:
    """One column. `choices` are the values that it can have, where they are known; `nullable`: it can be empty."""

    name: str
    dtype: str
    meaning: str
    nullable: bool = True
    choices: tuple[str, ...] = ()


def always(name: str, dtype: str, meaning: str) -> Field:
    return Field(name=name, dtype=dtype, meaning=meaning, nullable=False)


def maybe(name: str, dtype: str, meaning: str) -> Field:
    return Field(name=name, dtype=dtype, meaning=meaning)


def one_of(name: str, choices: type[StrEnum], meaning: str, *, nullable: bool = False) -> Field:
    values = tuple(member.value for member in choices)
    return Field(name=name, dtype=KEY, meaning=meaning, nullable=nullable, choices=values)
