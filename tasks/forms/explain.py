"""Explaining one issuance: why a user has the badge of an achievement, or does not have it."""

from dataclasses import dataclass

from prefect.utilities.urls import url_for

from credly.wire import badge_page
from models.diagnostics.explain import Explanation, history_of
from models.operations.erasure import refuse_erased
from models.setup import lookups as directory
from models.setup.lookups import AchievementSetup
from rules.badge.fields import fields_of
from rules.badge.request import Prepared
from rules.explain.diagnosis import Cause, answer
from rules.explain.history import Answer, History
from rules.explain.timeline import Event, timeline
from rules.forms.links import form_link
from rules.ledger.states import IssuanceState
from rules.markdown import code, plain, table
from rules.wording import FormResult
from tasks.forms.integrations import settings_of, shown
from tasks.forms.run_form import known_achievement, known_user
from tasks.runtime.form_links import form_address
from tasks.runtime.run import Run

_NEEDS_ACTION = (Cause.FAILED, Cause.BLOCKED, Cause.BADGE_ENDED)


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Everything known about one user and one achievement, for a page or a terminal."""

    found: Explanation
    answer: Answer
    events: list[Event]
    setup: AchievementSetup | None

    @property
    def history(self) -> History:
        return self.found.history


async def diagnose(run: Run, user: str, achievement: str) -> Diagnosis:
    """Diagnose a user and an achievement. Either may have been deleted on the platform since.

    Raises:
        InvalidInput: the user or the achievement is in neither platform nor ledger (the message suggests similar ids),
            or the user was erased.
    """
    await run.database.read(refuse_erased, user)
    moment = run.now()
    found = await history_of(run.database, user_id=user, achievement_id=achievement, now=moment)
    setup = await directory.achievement_setup(run.database, achievement)
    if not found.history.rows and not found.history.awards:
        await known_achievement(run, achievement)
        await known_user(run, user)
    return Diagnosis(found=found, answer=answer(found.history, now=moment), events=timeline(found.history), setup=setup)


async def explain_badge(run: Run, user: str, achievement: str) -> FormResult:
    """Explain on a page, with personal values masked.

    Raises:
        InvalidInput: the user or the achievement does not exist.
    """
    diagnosis = await diagnose(run, user, achievement)
    row = diagnosis.history.row
    open_again = row is not None and row.state in (IssuanceState.FAILED, IssuanceState.BLOCKED)
    return FormResult(
        sentence=diagnosis.answer.sentence,
        page=page(diagnosis, issue_form=await form_address(run, "issue-badge") if open_again else ""),
        needs_attention=diagnosis.answer.cause in _NEEDS_ACTION,
        link=badge_page(row.badge_url, row.credly_badge_id) if row else None,
    )


def page(diagnosis: Diagnosis, *, issue_form: str = "") -> str:
    history, answer = diagnosis.history, diagnosis.answer
    link = form_link(issue_form, user=history.user_id, achievement=history.achievement_id)
    parts = [
        f"# {code(history.user_id)} and the badge of {code(history.achievement_id)}",
        f"**{plain(answer.sentence, longest=900)}**",
        f"**What happens next:** {plain(answer.next, longest=500)}",
        *([f"**What you can do:** {plain(answer.advice, longest=500)}"] if answer.advice else []),
        *([f"[Issue it by hand]({link})"] if link else []),
        "## What happened, in order (UTC)",
        "\n".join(_item(event) for event in diagnosis.events),
        f"## {_sent_heading(diagnosis.found)}",
        _sent(diagnosis.found.would_send, history),
        "## The achievement's settings now",
        _settings(diagnosis.setup),
    ]
    return "\n\n".join(parts)


def _item(event: Event) -> str:
    # A list item, because Prefect's pages cut off wide tables.
    run = f" (run {link_to_run(event.flow_run_id)})" if event.flow_run_id else ""
    return f"- **{plain(f'{event.at:%Y-%m-%d %H:%M:%S}')}** {plain(event.what, longest=900)}{run}"


def link_to_run(flow_run_id: str) -> str:
    """Return a link to a flow run's page in Markdown, or its id where Prefect's UI has no address."""
    address = url_for("flow-run", obj_id=flow_run_id)
    return f"[{flow_run_id[:8]}]({address})" if address else code(flow_run_id)


def _sent_heading(found: Explanation) -> str:
    row = found.history.row
    if row is None or row.sent_fingerprint is None:
        return "What would be sent"
    if row.sent_fingerprint == found.history.present_fingerprint:
        return "What was sent last"
    return "What would be sent now; it is not what was sent last"


def _sent(prepared: Prepared | None, history: History) -> str:
    if prepared is None:
        return plain(history.cannot_be_sent.sentence) if history.cannot_be_sent else "Nothing."
    rows = [(name, plain(value, longest=700)) for name, value in fields_of(prepared)]
    return "\n\n".join([sent_note(history), table(("field", "value"), rows)])


def sent_note(history: History) -> str:
    """Return how the shown values relate to those that were sent. The ledger keeps only a fingerprint of a request."""
    row = history.row
    if row is None or row.sent_fingerprint is None:
        return "Nothing was sent to Credly for this badge."
    if row.sent_fingerprint != history.present_fingerprint:
        return (
            "The data or the settings have changed since it was sent. What was sent is not kept, only its fingerprint "
            "and the names of its fields; the badge's page at Credly shows it."
        )
    return "The fingerprint of the last request proves that these very values were sent."


def _settings(setup: AchievementSetup | None) -> str:
    if setup is None or setup.integration is None:
        return "Credly is not enabled on it."
    rows = [(name, shown(value)) for name, value in settings_of(setup.integration).items()]
    return table(("setting", "value"), rows)


def text(diagnosis: Diagnosis, *, masked: bool = True) -> str:
    """Return plain text for a terminal; personal values in full if `masked` is False."""
    history, answer, prepared = diagnosis.history, diagnosis.answer, diagnosis.found.would_send
    lines = [
        f"{history.user_id} and the badge of {history.achievement_id}",
        "",
        answer.sentence,
        f"What happens next: {answer.next}",
        *([f"What you can do: {answer.advice}"] if answer.advice else []),
        "",
        "What happened, in order (UTC)",
        *(_line(event) for event in diagnosis.events),
        "",
        _sent_heading(diagnosis.found),
        *([f"  {sent_note(history)}"] if prepared else []),
        *(f"  {name}: {value}".rstrip() for name, value in (fields_of(prepared, masked=masked) if prepared else [])),
    ]
    return "\n".join([*lines, ""])


def _line(event: Event) -> str:
    run = f" (flow run {event.flow_run_id})" if event.flow_run_id else ""
    return f"  {event.at:%Y-%m-%d %H:%M:%S}  {event.what}{run}"
