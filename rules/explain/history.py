"""The history of one user and one achievement, from the platform and from the ledger. Ids only, no personal data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rules.ledger.eligibility import Award, Coverage, Issuance, Pair
from rules.ledger.reasons import AwardFault, Reason, is_requeued
from rules.ledger.settings_changes import Changes, SettingsAction, SettingsOf
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import Transition


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call to Credly: a row of the ledger's attempts, with its `kind` and `outcome`."""

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
    """Who started the run of a form: Prefect's name of its creator, and the id given in the form."""

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
        return next((call.request_fingerprint for call in reversed(self.calls) if call.request_fingerprint), None)


@dataclass(frozen=True, kw_only=True)
class Integration:
    """The present integration of the achievement."""

    coverage: Coverage
    enabled_at: datetime
    paused_at: datetime | None = None
    held_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class History:
    """The history of one user and one achievement.

    `cannot_be_sent` says why a badge could not be sent with the user's present data; `present_fingerprint` is that of
    the request that would be sent, if one can be. `portal_id` is empty where the platform has no such achievement.
    `fault` says why the ledger cannot have the award.
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
    names: Mapping[int, str] = field(default_factory=dict, repr=False)
    fault: AwardFault | None = None

    @property
    def pair(self) -> Pair:
        return Pair(
            awards=self.awards,
            rows=self.rows,
            portal_id=self.portal_id or None,
            coverage=self.integration.coverage if self.integration else None,
            connected=self.connected_portals,
            deleted=self.deleted,
            moved=self.moved,
            names=self.names,
        )

    @property
    def would_differ(self) -> bool:
        """Whether what has failed is tried again: a request can be sent, and is not the one that was refused."""
        reason, attempted = (self.row.reason, self.row.request_fingerprint) if self.row else (None, None)
        present = self.cannot_be_sent or self.present_fingerprint
        return is_requeued(failed_for=reason, attempted=attempted, present=present)

    @property
    def row(self) -> LedgerRow | None:
        """The row to explain: one with a badge, else the pair's own."""
        return max(self.rows, key=self._rank, default=None)

    def _rank(self, row: LedgerRow) -> tuple[bool, bool, bool, int]:
        # A badge that is to be replaced exists: its row goes before one that is only planned.
        made = row.state is IssuanceState.ISSUED or row.replaces_badge_id is not None
        return (made, row.state is IssuanceState.ISSUING, not row.former, row.issuance_id)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to "why has she no badge?": the cause, what happens next, and what an operator can do."""

    cause: str
    sentence: str
    next: str
    advice: str = ""
    when: datetime | None = None
