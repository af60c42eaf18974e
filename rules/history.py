"""What is known of one user and one achievement, from the platform and from the ledger. Ids only, no person."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from rules.ledger.eligibility import Award, Coverage, Issuance, Pair
from rules.ledger.transitions import Transition
from rules.reasons import Reason
from rules.settings_changes import Changes, SettingsAction, SettingsOf
from rules.states import IssuanceState


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call made to Credly, as the ledger kept it. `kind` and `outcome` are those of the ledger's attempts."""

    kind: str
    outcome: str
    started_at: datetime
    duration: timedelta
    status: int | None = None
    code: str | None = None
    credly_message: str | None = None
    request_id: str | None = None
    request_fingerprint: str | None = None
    field_names: str = ""
    flow_run_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Operator:
    """Who started the run of a form: what Prefect has of its creator, and the id given in the form."""

    creator: str = ""
    operator_id: str = ""

    def __str__(self) -> str:
        given = [self.creator, f"operator {self.operator_id}" if self.operator_id else ""]
        return ", ".join(filter(None, given)) or "an unknown operator"


@dataclass(frozen=True, kw_only=True)
class TransitionEntry:
    """A transition of an issuance. `operator` is None where no form started the run."""

    at: datetime
    transition: Transition
    from_state: IssuanceState | None
    to_state: IssuanceState
    badge_template_id: str
    reason: Reason | None = None
    reconstructed: bool = False
    flow_run_id: str | None = None
    operator: Operator | None = None


@dataclass(frozen=True, kw_only=True)
class SettingsEntry:
    """A change of the achievement's integration, or of the connection of a portal that its badges belong to."""

    at: datetime
    settings_of: SettingsOf
    subject_id: str
    action: SettingsAction
    changes: Changes
    reconstructed: bool = False
    flow_run_id: str | None = None
    operator: Operator | None = None


@dataclass(frozen=True, kw_only=True)
class LedgerRow(Issuance):
    """An issuance as the ledger holds it, with its transitions and the calls made for it, the oldest first."""

    not_before: datetime
    planned_at: datetime
    updated_at: datetime
    credly_message: str | None = None
    lease_until: datetime | None = None
    unclear_at: datetime | None = None
    attempts: int = 0
    revoked_badge_id: str | None = None
    badge_url: str | None = None
    adopted: bool = False
    credly_state: str | None = None
    audited_at: datetime | None = None
    issued_at: datetime | None = None
    recorded_at: datetime | None = None
    request_fingerprint: str | None = None
    evidence_sent: str = ""
    evidence_left_out: str = ""
    requested_by: str = ""
    request_reason: str = ""
    flow_run_id: str | None = None
    transitions: tuple[TransitionEntry, ...] = ()
    calls: tuple[Call, ...] = ()

    @property
    def sent_fingerprint(self) -> str | None:
        """The fingerprint of the last request that was sent, or None if none was."""
        return next((call.request_fingerprint for call in reversed(self.calls) if call.request_fingerprint), None)


@dataclass(frozen=True, kw_only=True)
class Integration:
    """How Credly is enabled on the achievement now."""

    badge_template_id: str
    enabled_at: datetime
    issue_since: datetime | None = None
    paused_at: datetime | None = None
    held_at: datetime | None = None
    replaces: bool = False

    @property
    def coverage(self) -> Coverage:
        """What of it decides."""
        return Coverage(
            badge_template_id=self.badge_template_id,
            covers_from=self.issue_since or self.enabled_at,
            replaces=self.replaces,
        )


@dataclass(frozen=True, kw_only=True)
class History:
    """Everything known of one user and one achievement.

    `cannot_be_sent` says why a badge could not be sent with the user's present data; `present_fingerprint` is that of
    the request that would be sent, if one can be. `portal_id` is empty where the platform has no such achievement.
    """

    user_id: str
    achievement_id: str
    portal_id: str = ""
    user_exists: bool = True
    connected_at: datetime | None = None
    integration: Integration | None = None
    awards: tuple[Award, ...] = ()
    rows: tuple[LedgerRow, ...] = ()
    settings_changes: tuple[SettingsEntry, ...] = ()
    cannot_be_sent: Reason | None = None
    present_fingerprint: str | None = None
    connected_portals: frozenset[str] = frozenset()
    deleted: frozenset[int] = frozenset()
    moved: Issuance | None = None

    @property
    def pair(self) -> Pair:
        """What of it decides."""
        return Pair(
            awards=self.awards,
            rows=self.rows,
            portal_id=self.portal_id or None,
            coverage=self.integration.coverage if self.integration else None,
            connected=self.connected_portals,
            deleted=self.deleted,
            moved=self.moved,
        )

    @property
    def would_differ(self) -> bool:
        """Whether something can be sent, and it is not what the ledger's row was refused with."""
        last = self.row.request_fingerprint if self.row else None
        return self.present_fingerprint not in (None, last)

    @property
    def row(self) -> LedgerRow | None:
        """The row that answers for the user: one with a badge, else the pair's own."""
        return max(self.rows, key=self._weight, default=None)

    def _weight(self, row: LedgerRow) -> tuple[bool, bool, bool, int]:
        made = row.state is IssuanceState.ISSUED or row.replaces_badge_id is not None
        return (made, row.state is IssuanceState.ISSUING, not row.former, row.issuance_id)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to "why has she no badge?": where it stands, what comes next by itself, what a person can do."""

    cause: str
    sentence: str
    next: str
    advice: str = ""
    when: datetime | None = None
