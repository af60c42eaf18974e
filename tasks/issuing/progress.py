"""Progress of a long run, as a Prefect artifact. A run that ends before the first update has none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

from rules.monitoring.progress import percent, progress_sentence
from rules.monitoring.run_page import series_key
from tasks.runtime.organization import Organization
from tasks.runtime.run import Run


@asynccontextmanager
async def shown_progress(run: Run, organization: Organization, total: int) -> AsyncIterator[None]:
    """Update a progress artifact every few seconds while badges of the organization are issued."""
    artifact = _ProgressArtifact(run, organization, total)
    watching = asyncio.create_task(artifact.watch())
    try:
        yield
    finally:
        watching.cancel()
        # An error in showing progress must not fail the run.
        await asyncio.gather(watching, return_exceptions=True)
    await artifact.finish()


class _ProgressArtifact:
    def __init__(self, run: Run, organization: Organization, total: int) -> None:
        self.run, self.organization, self.total = run, organization, total
        self.began = run.now()
        self.artifact_id: UUID | None = None

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(self.run.settings.progress_every.total_seconds())
            await self._show()

    async def finish(self) -> None:
        if self.artifact_id is not None:
            await self._show()

    async def _show(self) -> None:
        done = self.organization.tried
        sentence = progress_sentence(done, self.total, elapsed=self.run.now() - self.began)
        if self.artifact_id is None:
            key = series_key("progress", self.organization.due.organization_id)
            self.artifact_id = await acreate_progress_artifact(percent(done, self.total), key, sentence)
        else:
            await aupdate_progress_artifact(self.artifact_id, percent(done, self.total), sentence)
