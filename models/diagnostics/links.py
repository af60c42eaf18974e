"""Links for evidence that do not look like web addresses, found before a badge is sent without them."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from models.database import Database
from models.platform.links import Link, odd_links_of
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


def _sending(connection: Connection, kind: EvidenceKind) -> list[str]:
    return list(connection.execute(select(integrations.c.achievement_id).where(_SENT[kind])).scalars())
