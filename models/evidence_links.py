"""Links that may become evidence and look odd, before a badge is sent without them."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from models.database import Database
from models.integrations import CredlyIntegration
from models.platform.links import Link, odd_links_of
from models.tables import table
from rules.evidence import EvidenceKind

integrations = table(CredlyIntegration)
_SENT = {
    EvidenceKind.USER: integrations.c.user_evidence,
    EvidenceKind.COMPANY: integrations.c.company_evidence,
    EvidenceKind.PROJECT: integrations.c.project_evidence,
    EvidenceKind.PORTAL: integrations.c.portal_evidence,
}

AT_MOST = 1000


async def odd_links(database: Database, kind: EvidenceKind) -> Sequence[Link]:
    """Return ids and links of this kind that some integration sends and that do not look like plain web addresses.

    At most `AT_MOST`; whether one is really unusable is for `rules.evidence.fault_of_link` to say.
    """
    sending = await database.read(_sending, kind)
    return await database.platform.read(odd_links_of, kind, sending, at_most=AT_MOST)


def _sending(connection: Connection, kind: EvidenceKind) -> list[str]:
    return list(connection.execute(select(integrations.c.achievement_id).where(_SENT[kind])).scalars())
