"""The base classes of tables: an annotated class is a table of SQLAlchemy Core, and the type of its rows.

In SQLModel's form. SQLModel itself loads SQLAlchemy's ORM and builds a pydantic model for each table, a fifth of a
second for each process, and neither is used: statements are Core, and rules are constraints of the database.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, ClassVar, dataclass_transform, get_args

from sqlalchemy import Boolean, Column, Float, ForeignKey, Integer, MetaData, String, Table

laurel_metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_REQUIRED: Any = object()
_TYPES = {bool: Boolean, float: Float, int: Integer}


@dataclass(frozen=True, kw_only=True)
class _Field:
    default: Any
    max_length: int | None
    sa_type: Any
    foreign_key: str | None
    sa_column_kwargs: Mapping[str, Any]

    def column(self, name: str, annotation: Any) -> Column[Any]:
        kinds = [each for each in get_args(annotation) or (annotation,) if each is not NoneType]
        kind = self.sa_type or (String(self.max_length) if issubclass(kinds[0], str) else _TYPES[kinds[0]])
        given: dict[str, Any] = {"nullable": NoneType in get_args(annotation)}
        if self.default is not _REQUIRED:
            given["default"] = self.default
        keys = [ForeignKey(self.foreign_key)] if self.foreign_key else []
        return Column(name, kind, *keys, **given | dict(self.sa_column_kwargs))


def Field(
    *,
    default: Any = _REQUIRED,
    max_length: int | None = None,
    sa_type: Any = None,
    primary_key: bool = False,
    foreign_key: str | None = None,
    index: bool = False,
    unique: bool = False,
    sa_column_kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Describe a column beyond its annotation. One without a default has to be given."""
    given: dict[str, Any] = {"index": index, "unique": unique}
    if primary_key:
        given |= {"primary_key": True, "nullable": False}
    return _Field(
        default=default,
        max_length=max_length,
        sa_type=sa_type,
        foreign_key=foreign_key,
        sa_column_kwargs=given | dict(sa_column_kwargs or {}),
    )


@dataclass_transform(kw_only_default=True, field_specifiers=(Field,))
class Model:
    """Base of all tables. A row shows its key and nothing else."""

    metadata: ClassVar[MetaData]
    __tablename__: ClassVar[str]
    __table_args__: ClassVar[tuple[Any, ...]] = ()
    __table__: ClassVar[Table]
    _defaults: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, *, table: bool = False) -> None:
        if not table:
            return
        given = {name: vars(cls).get(name, _REQUIRED) for name in cls.__annotations__}
        fields: dict[str, _Field] = {
            name: value if isinstance(value, _Field) else Field(default=value) for name, value in given.items()
        }
        columns = [field.column(name, cls.__annotations__[name]) for name, field in fields.items()]
        cls.__table__ = Table(cls.__tablename__, cls.metadata, *columns, *cls.__table_args__)
        cls._defaults = {name: field.default for name, field in fields.items() if field.default is not _REQUIRED}

    def __init__(self, **values: Any) -> None:
        vars(self).update(self._defaults | values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={getattr(self, 'id', None)!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def model_dump(self, *, exclude: Collection[str] = ()) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in exclude}


class LaurelTable(Model):
    """Base of Laurel's own tables."""

    metadata: ClassVar[MetaData] = laurel_metadata
