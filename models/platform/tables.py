"""The learning platform's tables. Laurel only reads them; an adopter may supply them as views.

They have a MetaData of their own, so that no migration of Laurel's creates or changes them by mistake, and no table of
Laurel's has a foreign key to them. Personal data is kept out of every `repr`.
"""

from datetime import datetime
from typing import ClassVar

from sqlalchemy import Index, MetaData

from models.base import Field, Model
from models.columns import PlatformKey, PlatformMoment, PlatformText

platform_metadata = MetaData()


class PlatformTable(Model):
    """Base of the platform's tables."""

    metadata: ClassVar[MetaData] = platform_metadata


class Portal(PlatformTable, table=True):
    """A portal of the platform; achievements belong to one."""

    __tablename__ = "portals"
    id: str = Field(primary_key=True, sa_type=PlatformKey("portals"))
    name: str = Field(sa_type=PlatformText)
    url: str | None = Field(default=None, sa_type=PlatformText)


class User(PlatformTable, table=True):
    """A user of the platform."""

    __tablename__ = "users"
    id: str = Field(primary_key=True, sa_type=PlatformKey("users"))
    first_name: str | None = Field(default=None, sa_type=PlatformText)
    last_name: str | None = Field(default=None, sa_type=PlatformText)
    profile_url: str | None = Field(default=None, sa_type=PlatformText)


class UserEmail(PlatformTable, table=True):
    """One of a user's e-mail addresses; at most one is primary (an index in models/migrate.py)."""

    __tablename__ = "user_emails"
    id: str = Field(primary_key=True, sa_type=PlatformKey("user_emails"))
    user_id: str = Field(foreign_key="users.id", index=True, sa_type=PlatformKey("users"))
    address: str = Field(sa_type=PlatformText)
    is_primary: bool = False


class Company(PlatformTable, table=True):
    """A company that an award can name."""

    __tablename__ = "companies"
    id: str = Field(primary_key=True, sa_type=PlatformKey("companies"))
    name: str = Field(sa_type=PlatformText)
    url: str | None = Field(default=None, sa_type=PlatformText)


class Project(PlatformTable, table=True):
    """A project that an award can name."""

    __tablename__ = "projects"
    id: str = Field(primary_key=True, sa_type=PlatformKey("projects"))
    name: str = Field(sa_type=PlatformText)
    url: str | None = Field(default=None, sa_type=PlatformText)


class Achievement(PlatformTable, table=True):
    """Something that can be awarded on a portal."""

    __tablename__ = "achievements"
    id: str = Field(primary_key=True, sa_type=PlatformKey("achievements"))
    portal_id: str = Field(foreign_key="portals.id", index=True, sa_type=PlatformKey("portals"))
    name: str = Field(sa_type=PlatformText)


class AchievementAward(PlatformTable, table=True):
    """An achievement given to a user at a moment, perhaps withdrawn at a later one."""

    __tablename__ = "achievement_awards"
    __table_args__ = (
        Index("ix_achievement_awards_covering", "achievement_id", "user_id", "awarded_at", "withdrawn_at"),
        Index("ix_achievement_awards_recent", "awarded_at", "achievement_id", "user_id", "withdrawn_at"),
        Index("ix_achievement_awards_user", "user_id"),
    )
    id: str = Field(primary_key=True, sa_type=PlatformKey("achievement_awards"))
    achievement_id: str = Field(foreign_key="achievements.id", sa_type=PlatformKey("achievements"))
    user_id: str = Field(foreign_key="users.id", sa_type=PlatformKey("users"))
    awarded_at: datetime = Field(sa_type=PlatformMoment)
    company_id: str | None = Field(default=None, foreign_key="companies.id", sa_type=PlatformKey("companies"))
    project_id: str | None = Field(default=None, foreign_key="projects.id", sa_type=PlatformKey("projects"))
    withdrawn_at: datetime | None = Field(default=None, sa_type=PlatformMoment)
