"""Links for evidence that do not look like web addresses, and odd names, found before badges are sent."""

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection, select

from models.database import Database
from models.platform.links import Link, Name, odd_links_of, odd_names_of
from models.setup.tables import CredlyIntegration
from models.tables import table
from rules.badge.evidence import EvidenceKind

integrations = table(CredlyIntegration)
_SENT = {
    EvidenceKind.USER: integrations.c.user_evidence,
    EvidenceKind.COMPANY: integrations.c.company_evidence,
    EvidenceKind.PROJECT: integrations.c.project_evidence,
    EvidenceKind.PORTAL: integrations.c.portal_evidence,
}

AT_MOST = 1000


async def odd_links(database: Database, kind: EvidenceKind) -> Sequence[Link]:
    """Return at most `AT_MOST` ids and links that some integration sends and that do not look like web addresses.

    `rules.badge.evidence.fault_of_link` decides whether one is unusable.
    """
    sending = await database.read(_sending, kind)
    return await database.platform.read(odd_links_of, kind, sending, at_most=AT_MOST)


async def odd_names(database: Database, kind: EvidenceKind) -> Sequence[Name]:
    """Return at most `AT_MOST` ids and names that badges have and that may have an oddity: names of users on every
    badge, others where they are evidence. `rules.badge.text.oddities` decides.
    """
    sending = await database.read(_enabled if kind is EvidenceKind.USER else partial(_sending, kind=kind))
    return await database.platform.read(odd_names_of, kind, sending, at_most=AT_MOST)


def _enabled(connection: Connection) -> list[str]:
    return list(connection.execute(select(integrations.c.achievement_id)).scalars())


def _sending(connection: Connection, kind: EvidenceKind) -> list[str]:
    return list(connection.execute(select(integrations.c.achievement_id).where(_SENT[kind])).scalars())
