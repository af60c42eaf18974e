"""Series of artifacts: each entry shows its own row and those before it, so that runs are compared at one look."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from prefect.artifacts import acreate_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort

KEPT = 100
Row = Mapping[str, Any]


async def rows_of_series(key: str) -> list[Row]:
    """Return the rows of the latest artifact of this key, the latest first."""
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    async with get_client() as client:
        latest = await client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, limit=1)
    return list(json.loads(str(latest[0].data))) if latest else []


async def extend_series(key: str, row: Row, earlier: Sequence[Row], *, description: str) -> None:
    """Write the next artifact of a series: this row, and under it the earlier ones, `KEPT` in all."""
    rows = [dict(each) for each in (row, *earlier[: KEPT - 1])]
    await acreate_table_artifact(key=key, table=rows, description=description)
