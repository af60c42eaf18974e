"""Writes the ledger's data of one user to a file, for a request for access."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from reports.files import folder_of, whole_file
from settings import settings

_ABOUT = (
    "All data that Laurel keeps of this user. Each issuance is one badge; its attempts are the calls to Credly made "
    "for it, its history the changes of its state. docs/reference/data-dictionary.md and "
    "docs/reference/reasons.md explain both. Moments "
    "are in UTC. Names and addresses are not kept: the platform has them, and Credly has the badges."
)


def write_user(
    user_id: str,
    issuances: Sequence[dict[str, Any]],
    runs: Sequence[dict[str, str]],
    *,
    folder: str,
    now: datetime,
    name: str,
) -> Path:
    """Write the file, which only its owner can read, and return its path. The path does not name the user."""
    content = {
        "about": _ABOUT,
        "written_at": now.isoformat(timespec="seconds"),
        "user_id": user_id,
        "issuances": list(issuances),
        "prefect_runs": list(runs),
    }
    target = folder_of(folder, default=settings().reports_folder) / f"laurel-user-{name}-PERSONAL-DATA.json"
    with whole_file(target) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return target
