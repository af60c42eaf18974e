"""`make demo`, then `make up`, in a copy of the checkout: what a newcomer starts, and what an auditor sees then.

The comparison of ledger, platform and badges reads the database files with SQL of its own.
"""

import base64
import json
import re
import signal
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest

from tests.support.demo_checkout import environment, retry, run_deployment, running_up
from tests.support.prefect_server import assert_no_errors

pytestmark = pytest.mark.timeout(1800)  # everything is started three times
EVIDENCE = ("user", "company", "project", "portal")
PORTALS = {"portal:portal-northwind", "portal:portal-harbour", "portal:portal-meridian"}
ISSUED = """
SELECT l.credly_badge_id, l.badge_template_id, l.evidence_sent, a.awarded_at, u.id AS user_id,
       trim(u.first_name) AS first_name, trim(u.last_name) AS last_name, trim(e.address) AS address,
       u.profile_url AS user_url, u.first_name || ' ' || u.last_name AS user_name,
       c.url AS company_url, c.name AS company_name, p.url AS project_url, p.name AS project_name,
       o.url AS portal_url, o.name AS portal_name, i.*
FROM badge_issuances l
JOIN achievement_awards a ON a.id = l.award_id
JOIN users u ON u.id = a.user_id
JOIN user_emails e ON e.user_id = u.id AND e.is_primary
JOIN achievements h ON h.id = a.achievement_id
JOIN portals o ON o.id = h.portal_id
JOIN credly_integrations i ON i.achievement_id = h.id
LEFT JOIN companies c ON c.id = a.company_id
LEFT JOIN projects p ON p.id = a.project_id
WHERE l.state = 'issued'
"""


def rows(file: Path, query: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(file)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]


def test_only_its_owner_reads_what_it_leaves(demo: Path) -> None:
    of_the_tests = {demo / "output.txt", demo / "up.txt"}
    files = {demo, *demo.rglob("*")} - of_the_tests

    assert [str(file) for file in files if file.stat().st_mode & 0o077] == []


def test_it_prints_what_was_issued_what_was_not_and_where_to_look(demo: Path) -> None:
    shown = (demo / "output.txt").read_text(encoding="utf-8")

    assert "The second run issued nothing." in shown
    assert shown.count(" equal ") == 3
    assert "NOT EQUAL" not in shown
    assert re.search(r"http://127\.0\.0\.1:\d+/badges/", shown)
    assert "make up" in shown


def test_no_server_of_the_demo_has_logged_an_error(demo: Path) -> None:
    # The stand-in fails on purpose; what a task run then logs stands in the worker's log.
    on_purpose = ("failed for a temporary cause|Task run|TransientFailure|^Traceback",)
    for log in (demo / "logs").glob("*.log"):
        assert_no_errors(log, may_log=on_purpose if log.stem == "prefect-worker" else ())


def test_each_issued_row_is_one_badge_with_all_its_fields_from_the_platform(demo: Path) -> None:
    ours = {row["credly_badge_id"]: row for row in rows(demo / "laurel.db", ISSUED)}
    theirs = {row["id"]: row for row in rows(demo / "standin.db", "SELECT * FROM badges WHERE NOT deleted")}

    assert len(ours) > 400
    assert set(ours) == set(theirs)
    for badge_id, row in ours.items():
        badge = theirs[badge_id]
        assert badge["recipient_email"] == row["address"]
        assert (badge["first_name"], badge["last_name"]) == (row["first_name"], row["last_name"])
        assert (badge["template_id"], badge["issuer_earner_id"]) == (row["badge_template_id"], row["user_id"])
        awarded_at = datetime.fromisoformat(row["awarded_at"]).replace(tzinfo=UTC, microsecond=0)
        assert badge["issued_at"] == awarded_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        sent = [
            (entry["name"], entry["value"], entry.get("description", "")) for entry in json.loads(badge["evidence"])
        ]
        assert sent == expected_evidence(row), row["user_id"]
        assert row["evidence_sent"].count(",") + bool(row["evidence_sent"]) == len(sent)
    mails = rows(demo / "standin.db", "SELECT badge_id, count(*) AS n FROM outbox GROUP BY badge_id")
    suppressed = {badge_id for badge_id, badge in theirs.items() if badge["suppressed"]}
    assert {mail["badge_id"] for mail in mails} == set(theirs) - suppressed
    assert {mail["n"] for mail in mails} == {1}


def expected_evidence(row: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = []
    for kind in EVIDENCE:
        link = (row[f"{kind}_url"] or "").strip()
        if row[f"{kind}_evidence"] and link.startswith(("http://", "https://")):
            name = row[f"{kind}_evidence_name"].strip() or " ".join(row[f"{kind}_name"].split())
            found.append((name, link, row[f"{kind}_evidence_description"].strip()))
    return found


def test_nothing_of_a_learner_and_no_token_is_in_prefects_database_or_in_a_log(demo: Path) -> None:
    people = rows(
        demo / "laurel.db",
        "SELECT u.id, first_name, last_name, address FROM users u LEFT JOIN user_emails e ON e.user_id = u.id",
    )
    secret: set[str] = {f"invented-token-{name}" for name in ("northwind", "harbour", "meridian")}
    secret |= {base64.b64encode(f"{token}:".encode()).decode() for token in set(secret)}
    for person in people:
        first, last, address = (" ".join((person[key] or "").split()) for key in ("first_name", "last_name", "address"))
        secret |= {address} if "@" in address else set()
        secret |= {f"{first} {last}"} if first and last else set()
        secret |= {name for name in (first, last) if len(name) > 5 or not name.isascii()}
    shapes = {shape for value in secret if value for shape in _written(value)}
    written = [file for folder in ("prefect", "logs") for file in (demo / folder).rglob("*") if file.is_file()]
    written.append(demo / "output.txt")

    everything = b"".join(file.read_bytes() for file in written)

    assert b"issue-organization" in everything  # this is Prefect's database indeed
    assert [shape for shape in shapes if shape in everything] == []


def _written(value: str) -> set[bytes]:
    """How a text may stand in a file: plain, as JSON and Python write it, or in an address."""
    forms = {value, json.dumps(value)[1:-1], quote(value), quote_plus(value), value.encode("unicode_escape").decode()}
    return {form.encode() for form in forms}


def test_make_up_shows_the_demo_and_runs_its_deployments(demo: Path, checkout: Path, runtime_python: Path) -> None:
    with running_up(checkout, runtime_python) as (address, process):
        no_reuse = httpx.Limits(max_keepalive_connections=0)  # the server closes idle connections after seconds
        api = httpx.Client(base_url=f"{address}/api", timeout=30, limits=no_reuse)
        names = {each["name"] for each in api.post("/deployments/filter", json={}).json()}
        runs = api.post("/flow_runs/filter", json={}).json()
        assert {"reconcile", "enable-credly", "issue-badge", "connect-portal"} <= names
        titles = [run["name"] for run in runs]
        assert any(re.match(r"reconcile · \d+ issued · \d+ failed", title) for title in titles), titles
        assert any(re.match(r"issue · portal-\S+ · \d+ issued", title) for title in titles), titles
        assert {tag for run in runs for tag in run["tags"] if tag.startswith("portal:")} == PORTALS
        tasks = api.post("/task_runs/filter", json={"task_runs": {"tags": {"all_": ["portal:portal-harbour"]}}}).json()
        assert any(re.match(r"issue .+ · \d+", task["name"]) for task in tasks)
        assert httpx.get(f"{address}/runs", headers={"Accept": "text/html"}).status_code == 200

        run_id, final = run_deployment(api, "reconcile")
        while final["type"] == "CANCELLED":  # the schedule's own run had just begun: they never overlap
            run_id, final = run_deployment(api, "reconcile")

        assert final["type"] == "COMPLETED", final
        assert final["message"].startswith("0 issued")
        again = retry(api, run_id)
        while again["type"] == "CANCELLED":
            again = retry(api, run_id)
        assert again["type"] == "COMPLETED", again
        # Not the same counts: an answer of the stand-in that gets lost or goes wrong leaves others blocked and waiting.
        assert str(again["message"]).startswith("0 issued"), again
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=240) == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{address}/api/health")
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(checkout) not in left


@pytest.mark.parametrize("module", ["demo", "demo.leftovers"])
def test_a_ledger_in_use_is_not_removed(demo: Path, checkout: Path, runtime_python: Path, module: str) -> None:
    with closing(sqlite3.connect(demo / "laurel.db")) as connection:
        (stored,) = connection.execute("SELECT base_url FROM credly_connections WHERE portal_id = 'portal-harbour'")
        change = "UPDATE credly_connections SET base_url = ? WHERE portal_id = 'portal-harbour'"
        connection.execute(change, ("https://api.credly.com/v1",))
        connection.commit()
        try:
            ended = _ended(checkout, runtime_python, module)
        finally:
            connection.execute(change, stored)
            connection.commit()

    assert ended.returncode == 1
    assert "is a ledger in use: it connects portal-harbour to Credly" in ended.stdout + ended.stderr
    assert (demo / "prefect" / "prefect.db").exists()


def test_the_demo_does_not_read_a_platform_of_ones_own(demo: Path, checkout: Path, runtime_python: Path) -> None:
    ended = _ended(checkout, runtime_python, "demo", LAUREL_PLATFORM_URL="sqlite:///platform.db")

    assert (ended.returncode, "LAUREL_PLATFORM_URL is set" in ended.stdout) == (1, True)
    assert (demo / "laurel.db").exists()


def _ended(checkout: Path, python: Path, module: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [python, "-m", module], cwd=checkout, env=environment() | settings, capture_output=True, text=True, check=False
    )


def test_make_start_serves_a_platform_of_ones_own_without_stand_in(
    demo: Path, checkout: Path, runtime_python: Path
) -> None:
    own = {
        "LAUREL_DATABASE_URL": f"sqlite:///{demo / 'ledger.db'}",
        "LAUREL_PLATFORM_URL": f"sqlite:///{demo / 'laurel.db'}",
    }
    with running_up(checkout, runtime_python, "scripts.start", **own) as (address, process):
        api = httpx.Client(base_url=f"{address}/api", timeout=30, limits=httpx.Limits(max_keepalive_connections=0))
        left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert "credly.standin" not in "".join(line for line in left.splitlines() if str(checkout) in line)

        _, final = run_deployment(api, "list-integrations")

        assert final["message"] == "0 of 4 portals connected · 0 achievements with Credly", final
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=240) == 0
