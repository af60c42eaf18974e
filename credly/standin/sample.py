"""An obviously invented organization for a stand-in that is started without a seed."""

from typing import Any

SAMPLE: dict[str, list[dict[str, Any]]] = {
    "organizations": [{"id": "00000000-0000-4000-8000-00000000aaaa", "name": "Sample Organization"}],
    "tokens": [{"token": "invented-sample-token", "organization_id": "00000000-0000-4000-8000-00000000aaaa"}],
    "templates": [
        {
            "id": f"00000000-0000-4000-8000-00000000000{number}",
            "organization_id": "00000000-0000-4000-8000-00000000aaaa",
            "name": name,
            "state": state,
        }
        for number, name, state in (
            (1, "Sample Badge", "active"),
            (2, "Draft Badge", "draft"),
            (3, "Archived Badge", "archived"),
        )
    ],
}
