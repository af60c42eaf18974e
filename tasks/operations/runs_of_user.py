"""Data about one user in Prefect: runs that were started with the user's id, and pages that show it.

The final message and the log of a run repeat its parameters, and Prefect's API can change neither, so such a run is
deleted. Pages outlive their runs in Prefect and are matched by their content.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import Artifact, FlowRun
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run

from rules.badge.text import tidy
from tasks.operations.retention import TAG

NAMING_FLOWS = ("issue-badge", "issue-badges", "explain", "erase-user", "export-user")
# Pages that have ids unquoted in their sentences; all other pages quote them.
_UNQUOTED = ("issue-badge", "issue-badge-link", "issue-badges", "explain", "explain-link", "check")
_OTHERS = ("reconcile", "reconcile-preview", "enable-credly", "audit", "follow-badges", "export", "export-table")
_PAGE = 200
Found = TypeVar("Found")
# The space makes it invalid as a user id in every form, so a retry of the run does nothing.
NOBODY = "erased user"


@dataclass(frozen=True, kw_only=True)
class Traces:
    """Runs that can be deleted, the number of those still running, and pages."""

    runs: tuple[FlowRun, ...]
    under_way: int
    pages: tuple[UUID, ...]


async def runs_of_user(user_id: str) -> list[FlowRun]:
    """Return the runs of Laurel's deployments that were started with the user's id, except the current one."""
    async with get_client() as client:
        return [each async for each in _runs(client) if str(each.id) != flow_run.id and was_started_with(each, user_id)]


async def traces_of(user_id: str, badge_ids: Collection[str]) -> Traces:
    runs = await runs_of_user(user_id)
    over = [run for run in runs if run.state is None or run.state.is_final() or run.state.is_scheduled()]
    of_runs, matcher = {run.id for run in over}, PageMatcher(user_id, badge_ids)
    async with get_client() as client:
        pages = [each.id async for each in _pages(client) if each.flow_run_id in of_runs or matcher.matches(each)]
    return Traces(runs=tuple(over), under_way=len(runs) - len(over), pages=tuple(pages))


async def delete(traces: Traces) -> None:
    async with get_client() as client:
        for page in traces.pages:
            with suppress(ObjectNotFound):
                await client.delete_artifact(page)
        for run in traces.runs:
            with suppress(ObjectNotFound):
                await client.delete_flow_run(run.id)


async def forget_user_in_this_run() -> None:
    # The current run cannot delete itself, so its parameter is overwritten.
    async with get_client() as client:
        run = await client.read_flow_run(UUID(flow_run.id))
        await client.update_flow_run(run.id, parameters=run.parameters | {"user": NOBODY})


def was_started_with(run: FlowRun, user_id: str) -> bool:
    # `rows` is the pasted list of issue-badges. Rows that it refused have the id as well.
    rows = tidy(str(run.parameters.get("rows") or ""))
    named = as_word(user_id).search(rows) is not None
    return named or tidy(str(run.parameters.get("user", ""))) == user_id or user_id in run.tags


def as_word(user_id: str) -> re.Pattern[str]:
    """Return a pattern that finds the id between punctuation, and not in a longer one."""
    return re.compile(rf"(?<![\w-]){re.escape(user_id)}(?![\w-])")


class PageMatcher:
    """Matches pages that show the user or one of the badges, as Markdown or JSON."""

    def __init__(self, user_id: str, badge_ids: Collection[str]) -> None:
        self._bare = as_word(user_id)
        self._quoted = re.compile(rf"[`\"]{re.escape(user_id)}[`\"]")
        self._badge_ids = badge_ids

    def matches(self, page: Artifact) -> bool:
        # Backslashes are Markdown escapes.
        text = f"{page.data} {page.description}".replace("\\", "")
        named = (self._bare if page.key in _UNQUOTED else self._quoted).search(text)
        return named is not None or any(badge_id in text for badge_id in self._badge_ids)


def _runs(client: PrefectClient) -> AsyncIterator[FlowRun]:
    naming = FlowFilter(name=FlowFilterName(any_=list(NAMING_FLOWS)))
    ours = FlowRunFilter(tags=FlowRunFilterTags(all_=[TAG]))
    return _all(
        lambda offset: client.read_flow_runs(
            flow_filter=naming, flow_run_filter=ours, sort=FlowRunSort.ID_DESC, limit=_PAGE, offset=offset
        )
    )


def _pages(client: PrefectClient) -> AsyncIterator[Artifact]:
    ours = ArtifactFilter(key=ArtifactFilterKey(any_=[*_UNQUOTED, *_OTHERS]))
    return _all(
        lambda offset: client.read_artifacts(
            artifact_filter=ours, sort=ArtifactSort.ID_DESC, limit=_PAGE, offset=offset
        )
    )


async def _all(read: Callable[[int], Awaitable[list[Found]]]) -> AsyncIterator[Found]:
    offset, found = 0, await read(0)
    while found:
        for each in found:
            yield each
        offset += len(found)
        found = await read(offset)
