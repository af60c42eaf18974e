"""Telling one learner's story: why a user has the badge of an achievement, or has it not."""

from dataclasses import dataclass

from prefect.utilities.urls import url_for

from models import directory
from models.directory import Place
from models.history import Found, history_of
from models.ledger.erasure import refuse_erased
from models.platform.people import near_user_ids
from rules.badge_request import Prepared
from rules.choices import Mistake
from rules.history import Answer, History
from rules.markup import code, plain, table
from rules.near import did_you_mean
from rules.sent import fields_of
from rules.story import Cause, answer
from rules.timeline import Event, timeline
from rules.told import Told
from tasks.enabling import settings_of, shown
from tasks.people import known_place
from tasks.runtime.run import Run

_NEEDS_A_PERSON = (Cause.FAILED, Cause.BLOCKED, Cause.BADGE_ENDED)


@dataclass(frozen=True, kw_only=True)
class Story:
    """A story as it was found, to be told as a page or on a terminal."""

    found: Found
    answer: Answer
    events: list[Event]
    place: Place | None

    @property
    def history(self) -> History:
        """What it is made from."""
        return self.found.history


async def story_of(run: Run, user: str, achievement: str) -> Story:
    """Return the story of a user and an achievement, either of which may have left the platform since.

    Raises:
        Mistake: neither the platform nor the ledger knows the user or the achievement; names near ids. Or the user
            was erased.
    """
    await run.database.read(refuse_erased, user)
    moment = run.now()
    found = await history_of(run.database, user_id=user, achievement_id=achievement, now=moment)
    place = await directory.place_of(run.database, achievement)
    if not found.history.rows and not found.history.awards:
        await known_place(run, achievement)
        await _known_user(run, found.history)
    return Story(found=found, answer=answer(found.history, now=moment), events=timeline(found.history), place=place)


async def _known_user(run: Run, history: History) -> None:
    if history.user_exists:
        return
    near = await run.platform.read(near_user_ids, history.user_id)
    hint = did_you_mean(history.user_id, dict.fromkeys(near, ""))
    raise Mistake(
        f"user: there is no user {code(history.user_id)}.{hint} `python -m models.find_user` finds an id by the "
        "primary e-mail address."
    )


async def explain_badge(run: Run, user: str, achievement: str) -> Told:
    """Tell the story on a page, personal values masked.

    Raises:
        Mistake: the user or the achievement is not known.
    """
    story = await story_of(run, user, achievement)
    row = story.history.row
    return Told(
        sentence=story.answer.sentence,
        page=page(story),
        needs_a_person=story.answer.cause in _NEEDS_A_PERSON,
        badge_url=row.badge_url if row else None,
    )


def page(story: Story) -> str:
    """Return the story as Markdown."""
    history, told = story.history, story.answer
    parts = [
        f"# {code(history.user_id)} and the badge of {code(history.achievement_id)}",
        f"**{plain(told.sentence, longest=900)}**",
        f"**What happens next:** {plain(told.next, longest=500)}",
        *([f"**What a person can do:** {plain(told.advice, longest=500)}"] if told.advice else []),
        "## What happened, in order (UTC)",
        "\n".join(_item(event) for event in story.events),
        f"## {_sent_heading(story.found)}",
        _sent(story.found.would_send, history),
        "## The achievement's settings now",
        _settings(story.place),
    ]
    return "\n\n".join(parts)


def _item(event: Event) -> str:
    """As a list: Prefect's pages cut off what is wide in a table."""
    run = f" (run {link_to_run(event.flow_run_id)})" if event.flow_run_id else ""
    return f"- **{plain(f'{event.at:%Y-%m-%d %H:%M:%S}')}** {plain(event.what, longest=900)}{run}"


def link_to_run(flow_run_id: str) -> str:
    """Return a link to a flow run's page in Markdown, or its id where Prefect's UI has no address."""
    address = url_for("flow-run", obj_id=flow_run_id)
    return f"[{flow_run_id[:8]}]({address})" if address else code(flow_run_id)


def _sent_heading(found: Found) -> str:
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
    """Return how what is shown relates to what was sent; the ledger keeps a request's fingerprint, not its values."""
    row = history.row
    if row is None or row.sent_fingerprint is None:
        return "Nothing was sent to Credly for this badge."
    if row.sent_fingerprint != history.present_fingerprint:
        return (
            "The data or the settings have changed since it was sent. What was sent is not kept, only its fingerprint "
            "and the names of its fields; the badge's page at Credly shows it."
        )
    return "The fingerprint of the last request proves that these very values were sent."


def _settings(place: Place | None) -> str:
    if place is None or place.integration is None:
        return "Credly is not enabled on it."
    rows = [(name, shown(value)) for name, value in settings_of(place.integration).items()]
    return table(("setting", "value"), rows)


def text(story: Story, *, masked: bool = True) -> str:
    """Return the story as plain text for a terminal, with personal values where `masked` is False."""
    history, told, prepared = story.history, story.answer, story.found.would_send
    lines = [
        f"{history.user_id} and the badge of {history.achievement_id}",
        "",
        told.sentence,
        f"What happens next: {told.next}",
        *([f"What a person can do: {told.advice}"] if told.advice else []),
        "",
        "What happened, in order (UTC)",
        *(_line(event) for event in story.events),
        "",
        _sent_heading(story.found),
        *([f"  {sent_note(history)}"] if prepared else []),
        *(f"  {name}: {value}".rstrip() for name, value in (fields_of(prepared, masked=masked) if prepared else [])),
    ]
    return "\n".join([*lines, ""])


def _line(event: Event) -> str:
    run = f" (flow run {event.flow_run_id})" if event.flow_run_id else ""
    return f"  {event.at:%Y-%m-%d %H:%M:%S}  {event.what}{run}"
