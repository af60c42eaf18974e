"""`make sandbox` against the stand-in: what it reports, also where that differs, and that nothing stands afterwards."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.sandbox import __main__ as sandbox
from settings import ROOT
from tests.support.standin import Standin, running_standin
from tests.support.waiting import until

ORGANIZATION = "0d0d0d0d-0000-4000-8000-000000000001"
STRANGER = "0d0d0d0d-0000-4000-8000-000000000002"
TOKEN, READ_ONLY = "invented-token-of-the-sandbox", "invented-token-that-reads-there"
ACTIVE, DUPLICATES, ARCHIVED, FOREIGN = (f"7d7d7d7d-0000-4000-8000-00000000000{n}" for n in range(4))
BADGES_OF_OTHERS = 1001  # one more than a page of the bulk read
NEVER_SEEN = {"rejected-blocks", "keep-permanently"}
ONLY_ON_REQUEST = {"limit", "error-429"}
Change = Callable[[Standin], None]


@pytest.fixture(scope="module")
def shared() -> Iterator[Standin]:
    """A stand-in with an organization that has more badges than a page, none of which is the command's business."""
    with running_standin(batch_is_offered=True) as standin:
        standin.seed(
            organizations=[{"id": ORGANIZATION, "name": "Sandbox"}, {"id": STRANGER, "name": "Stranger"}],
            tokens=[
                {"token": TOKEN, "organization_id": ORGANIZATION},
                {"token": READ_ONLY, "organization_id": ORGANIZATION, "write_enabled": False, "delete_enabled": False},
            ],
            templates=[
                {"id": ACTIVE, "organization_id": ORGANIZATION},
                {"id": DUPLICATES, "organization_id": ORGANIZATION, "allow_duplicate_badges": True},
                {"id": ARCHIVED, "organization_id": ORGANIZATION, "state": "archived"},
                {"id": FOREIGN, "organization_id": STRANGER},
            ],
        )
        _issue_to_others(standin)
        yield standin
        others = [badge for badge in standin.badges() if not badge["recipient_email"].startswith("laurel+")]
        assert (len(others), {badge["state"] for badge in others}) == (BADGES_OF_OTHERS, {"pending"})


def _issue_to_others(standin: Standin) -> None:
    plain = {
        "badge_template_id": ACTIVE,
        "issued_to_first_name": "Ada",
        "issued_to_last_name": "Muster",
        "issued_at": "2026-01-05 09:00:00 +0000",
        "suppress_badge_notification_email": True,
    }
    standin.control("POST", "clock", {"seconds": -7200})  # so that a lag of an hour hides new badges only
    others = [f"other-{n}" for n in range(BADGES_OF_OTHERS)]
    badges = [plain | {"recipient_email": f"{each}@example.org", "issuer_earner_id": each} for each in others]
    path = f"{standin.base_url}/organizations/{ORGANIZATION}/badges/batch"
    reply = httpx.post(path, json={"badges": badges}, auth=(TOKEN, ""), timeout=60)
    assert reply.status_code == 201, reply.text
    standin.control("POST", "clock", {"seconds": 0})


@pytest.fixture
def standin(shared: Standin, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    for name, value in _environment(shared).items():
        monkeypatch.setenv(name, value)
    yield shared
    shared.control("DELETE", "faults")
    shared.settings(**DEFAULTS)
    assert standing(shared) == []


def _environment(standin: Standin) -> dict[str, str]:
    return {
        "LAUREL_LOOKUP_GRACE": "2",
        "LAUREL_SANDBOX_URL": standin.base_url,
        "LAUREL_SANDBOX_TOKEN": TOKEN,
        "LAUREL_SANDBOX_TOKEN_READ_ONLY": READ_ONLY,
        "LAUREL_SANDBOX_ORGANIZATION": ORGANIZATION,
        "LAUREL_SANDBOX_ORGANIZATION_FOREIGN": STRANGER,
        "LAUREL_SANDBOX_TEMPLATE": ACTIVE,
        "LAUREL_SANDBOX_TEMPLATE_DUPLICATES": DUPLICATES,
        "LAUREL_SANDBOX_TEMPLATE_ARCHIVED": ARCHIVED,
        "LAUREL_SANDBOX_TEMPLATE_FOREIGN": FOREIGN,
        "LAUREL_SANDBOX_CALLS_PER_SECOND": "1000",
    }


# What a test may have changed.
DEFAULTS: dict[str, Any] = {
    "list_lag_seconds": 0,
    "request_id_is_reused": False,
    "filters_are_ignored": False,
    "bulk_rows": 1000,
    "bulk_cursor_is_nested": True,
    "bulk_link_asks_for_full_badges": True,
    "next_page_prefix": "/api/v1",
    "expired_blocks": True,
    "future_issued_at_is_refused": False,
    "longest_text": 255,
    "accept_token_without_colon": True,
    "extra_fields": False,
}


def standing(standin: Standin) -> list[str]:
    """The command's badges that an earner could still accept, of the newest fifty."""
    path, query = f"{standin.base_url}/organizations/{ORGANIZATION}/badges", "filter=state::pending,accepted"
    rows = httpx.get(f"{path}?{query}&sort=-created_at", auth=(TOKEN, "")).json()["data"]
    ours = [row for row in rows if row["recipient_email"].startswith("laurel+")]
    return [row["id"] for row in ours if not row["replacement_badge_id"]]


def ask(folder: Path, *codes: str) -> tuple[int, dict[str, Any]]:
    """Put the questions, all but the contract tests if none is named, and return exit code and report."""
    chosen = codes or [each.code for each in sandbox.PROBES if each.code != "contract-tests"]
    code = sandbox.main(["--report", str(folder / "report.md"), "--only", *chosen])
    return code, json.loads((folder / "report.json").read_text())


def codes_of(report: dict[str, Any], verdict: str) -> set[str]:
    return {each["code"] for each in report["findings"] if each["verdict"] == verdict}


def seen(report: dict[str, Any], code: str) -> str:
    (finding,) = [each for each in report["findings"] if each["code"] == code]
    return str(finding["seen"])


def test_the_stand_in_confirms_what_it_assumes(standin: Standin, tmp_path: Path) -> None:
    mails = len(standin.mails())

    process = subprocess.run(
        [sys.executable, "-m", "scripts.sandbox", "--report", str(tmp_path / "report.md")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    report = json.loads((tmp_path / "report.json").read_text())
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stdout.endswith(f"The report: {tmp_path / 'report.md'}\n")
    assert codes_of(report, "differs") == set()
    assert codes_of(report, "not seen") == NEVER_SEEN | ONLY_ON_REQUEST
    assert {each["number"] for each in report["findings"]} == {None, *range(1, 11)}
    assert re.match(r"\d\d+ passed, 0 failed, \d+ skipped", seen(report, "contract-tests"))
    assert (report["stand_in"], report["clean_up"]["standing"], report["clean_up"]["without_answer"]) == (True, [], 0)
    assert len(standin.mails()) == mails


def test_neither_token_nor_address_nor_name_is_in_the_report(standin: Standin, tmp_path: Path) -> None:
    standin.settings(filters_are_ignored=True)
    echo = {"Content-Type": f"text/{TOKEN}; for=ada@example.org"}
    standin.fault("answer", path="/badges/", method="GET", skip=1, status=404, content="Ada Muster", headers=echo)

    _, report = ask(tmp_path)

    assert "text as text/…; …" in seen(report, "error-404")
    for file in (tmp_path / "report.md", tmp_path / "report.json"):
        text = file.read_text()
        assert not re.search(rf"{TOKEN}|{READ_ONLY}|@|example\.org|Ada|Muster|Laurel Sandbox|Portfolio", text), file


@pytest.mark.parametrize(
    ("switch", "value", "code", "saw"),
    [
        ("list_lag_seconds", 3600, "search-lag", "not listed after"),
        ("request_id_is_reused", True, "request-id", "that of the request"),
        ("filters_are_ignored", True, "filters", "50 strangers"),
        ("bulk_rows", 500, "bulk-page-size", "500 rows"),
        ("bulk_cursor_is_nested", False, "bulk-cursor", "cursor once; the next page goes on"),
        ("bulk_link_asks_for_full_badges", False, "bulk-format", "minimal"),
        ("next_page_prefix", "/v1", "page-prefix", "/v1"),
        ("expired_blocks", False, "expired-blocks", "201"),
        ("future_issued_at_is_refused", True, "future-issued-at", "422"),
        ("longest_text", 100, "longest-text", "422 and 422"),
    ],
)
def test_a_switch_differs_at_its_own_question_alone(
    standin: Standin, tmp_path: Path, switch: str, value: object, code: str, saw: str
) -> None:
    standin.settings(**{switch: value})

    exit_code, report = ask(tmp_path)

    assert (exit_code, codes_of(report, "differs")) == (1, {code})
    assert seen(report, code).startswith(saw)
    assert codes_of(report, "not seen") == NEVER_SEEN | ONLY_ON_REQUEST
    assert f"| `{code}` |" in (tmp_path / "report.md").read_text()


def test_what_only_the_contract_tests_hold_differs_there(standin: Standin, tmp_path: Path) -> None:
    standin.settings(accept_token_without_colon=False)

    exit_code, report = ask(tmp_path, "contract-tests")

    assert (exit_code, codes_of(report, "differs")) == (1, {"contract-tests"})
    (finding,) = report["findings"]
    assert {each.partition("[")[0].rpartition("::")[2] for each in finding["details"]["failed"]} == {
        "test_a_token_works_without_its_colon"
    }


def test_fields_that_nobody_knows_are_no_difference(standin: Standin, tmp_path: Path) -> None:
    standin.settings(extra_fields=True)

    assert ask(tmp_path)[0] == 0


HTML = {"content": "<html>Forbidden</html>", "headers": {"Content-Type": "text/html"}}
BARE = {"content": '{"error": "no"}', "headers": {"Content-Type": "application/json"}}


def _badge(**fields: Any) -> dict[str, Any]:
    content = {"data": {"id": "of-nobody", **fields}}
    return {"status": 201, "content": json.dumps(content), "headers": {"Content-Type": "application/json"}}


@pytest.mark.parametrize(
    ("code", "fault", "saw"),
    [
        ("replace-deleted", {"action": "answer", "path": "/replace$", "status": 422, "message": "no"}, "422"),
        ("replace-archived", {"action": "answer", "path": "/replace$", "status": 404, "message": "no"}, "404"),
        ("replace-foreign", {"action": "answer", "path": "/replace$", "status": 404, "message": "no"}, "404"),
        ("replace-takes", {"action": "answer", "path": "/replace$", "status": 422, "message": "no"}, "422"),
        (
            "replace-takes",
            {"action": "answer_after", "path": "/replace$"}
            | _badge(locale="de", suppress_badge_notification_email=False),
            "201; suppress not taken, locale taken",
        ),
        (
            "replace-clears",
            {"action": "answer_after", "path": "/replace$"}
            | _badge(issued_to_first_name="Laurel", country="Switzerland", locale="en"),
            "kept: country, issued_to_first_name; cleared: nothing",
        ),
        ("race-once", {"action": "answer", "body": "race", "skip": 1, "status": 409, "message": "no"}, "201 and 409"),
        ("race-many", {"action": "answer", "body": "race", "skip": 1, "status": 422, "message": "no"}, "201 and 422"),
        ("issued-at-date", {"action": "answer_after", "body": "midnight", "count": 2}, "neither the day"),
        ("bulk-entitlement", {"action": "answer", "path": "_search$", "status": 403, "message": "no"}, "403"),
        ("token-values", {"action": "answer", "path": "_tokens$", "status": 200}, "1 tokens are listed, 1 with"),
        ("error-401", {"action": "answer", "skip": 1, "status": 401} | HTML, "markup as text/html (not believed"),
        ("error-403", {"action": "answer", "method": "POST", "status": 403} | HTML, "markup as text/html (not"),
        ("error-404", {"action": "answer", "path": "/badges/", "status": 404} | BARE, "{'error': 'str'} as app"),
        ("client", {"action": "answer", "path": "templates/", "status": 200} | HTML, "template: Unclear"),
    ],
)
def test_an_answer_that_no_switch_gives_differs_as_well(
    standin: Standin, tmp_path: Path, code: str, fault: dict[str, Any], saw: str
) -> None:
    content = {
        "issued-at-date": _badge(issued_at_date="2020-01-01"),
        "token-values": {"content": '{"data": [{"id": "1", "token": "****"}]}'},
    }
    standin.fault(**(content.get(code, {}) | fault))

    exit_code, report = ask(tmp_path, code)

    assert (exit_code, codes_of(report, "differs")) == (1, {code})
    assert seen(report, code).startswith(saw)


@pytest.mark.parametrize(
    ("passed", "verdict", "saw"),
    [
        (1, "differs", "1 calls in the second before it, 1 in all; Retry-After: 1 s"),
        (40, "confirmed", r"[2-4]\d calls in the second before it, 40 in all; Retry-After: 1 s"),
    ],
)
def test_the_limit_is_asked_for_on_request(
    standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passed: int, verdict: str, saw: str
) -> None:
    monkeypatch.setenv("LAUREL_SANDBOX_PROBE_LIMIT", "1")
    standin.fault("answer", skip=1 + passed, count=4, status=429, headers={"Retry-After": "1"}, message="slow")

    _, report = ask(tmp_path, "limit", "error-429")

    assert codes_of(report, verdict) >= {"limit"}
    assert re.fullmatch(saw, seen(report, "limit"))
    assert "error-429" in codes_of(report, "confirmed")


def test_the_limit_is_left_alone_without_its_switch(standin: Standin, tmp_path: Path) -> None:
    calls = len(standin.requests())

    _, report = ask(tmp_path, "limit")

    assert codes_of(report, "not seen") == {"limit"}
    assert len(standin.requests()) - calls < 20


def test_without_templates_their_questions_are_left_open(
    standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TEMPLATE", "TEMPLATE_DUPLICATES", "TEMPLATE_ARCHIVED", "TEMPLATE_FOREIGN", "TOKEN_READ_ONLY"):
        monkeypatch.delenv(f"LAUREL_SANDBOX_{name}")

    exit_code, report = ask(tmp_path)

    assert exit_code == 0
    assert "LAUREL_SANDBOX_TEMPLATE_ARCHIVED" in seen(report, "replace-archived")
    assert "LAUREL_SANDBOX_TEMPLATE " in seen(report, "search-lag")
    assert "LAUREL_SANDBOX_TEMPLATE_DUPLICATES" in seen(report, "race-many")
    assert "bulk-page-size" in codes_of(report, "confirmed")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("TOKEN", "", "Set LAUREL_SANDBOX_TOKEN and LAUREL_SANDBOX_ORGANIZATION"),
        ("URL", "https://api.credly.com/v1", "is Credly's production"),
        ("URL", "http://example.org/v1", "must begin with https://"),
        ("TOKEN", "invented-and-wrong", "The sandbox answered 401"),
        ("CALLS_PER_SECOND", "0", "CALLS_PER_SECOND must be above 0"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(
    standin: Standin,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    sentence: str,
) -> None:
    monkeypatch.setenv(f"LAUREL_SANDBOX_{name}", value)

    assert sandbox.main(["--report", str(tmp_path / "report.md")]) == 1

    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("action", ["drop_after", "cut_after", "answer_after"])
@pytest.mark.parametrize(("code", "path"), [("search-lag", "/badges$"), ("replace-takes", "/replace$")])
def test_a_badge_whose_reply_is_lost_is_revoked_as_well(
    standin: Standin, tmp_path: Path, action: str, code: str, path: str
) -> None:
    standin.fault(action, method="POST", path=path)
    before = len(standin.badges())

    _, report = ask(tmp_path, code)

    assert len(standin.badges()) > before
    assert standing(standin) == []
    assert report["clean_up"]["without_answer"] == 0


def test_a_successor_whose_reply_is_lost_is_found_by_its_predecessor(standin: Standin, tmp_path: Path) -> None:
    standin.settings(list_lag_seconds=3600)
    standin.fault("drop_after", method="POST", path="/replace$")

    ask(tmp_path, "replace-takes")

    standin.settings(list_lag_seconds=0)
    assert standing(standin) == []


def test_a_badge_of_somebody_else_stays_whatever_an_answer_says(standin: Standin, tmp_path: Path) -> None:
    (other,) = standin.badges(recipient_email="other-7@example.org")
    content = json.dumps({"data": {"id": other["id"]}})
    standin.fault("answer_after", method="POST", path="/badges$", status=201, content=content)

    ask(tmp_path, "future-issued-at")

    (after,) = standin.badges(recipient_email="other-7@example.org")
    assert (after["state"], after["updated_at"]) == ("pending", other["updated_at"])


def test_a_badge_that_cannot_be_revoked_is_deleted(standin: Standin, tmp_path: Path) -> None:
    standin.fault("answer", method="PUT", path="/revoke$", status=403, message="no", count=None)
    before = len(standin.badges())

    ask(tmp_path, "future-issued-at")

    assert len(standin.badges()) == before


def test_a_badge_that_stays_is_named(standin: Standin, tmp_path: Path) -> None:
    for method in ("PUT", "DELETE"):
        standin.fault("answer", method=method, status=403, message="no", count=None)

    exit_code, report = ask(tmp_path, "future-issued-at")

    (left,) = standing(standin)
    assert (exit_code, report["clean_up"]["standing"]) == (1, [left])
    assert left in (tmp_path / "report.md").read_text()
    standin.control("DELETE", "faults")
    standin.erase(left, token=TOKEN)


@pytest.mark.parametrize(
    ("ending", "code", "body"),
    [
        (signal.SIGINT, "race-many", "race"),
        (signal.SIGTERM, "race-many", "race"),
        (signal.SIGINT, "contract-tests", "person-0042"),
    ],
)
def test_an_end_from_outside_cleans_up_first(
    standin: Standin, tmp_path: Path, ending: signal.Signals, code: str, body: str
) -> None:
    standin.fault("hold_after", method="POST", body=body, count=1)
    command = [sys.executable, "-m", "scripts.sandbox", "--report", str(tmp_path / "report.md"), "--only", code]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        standin.until_held()
        os.killpg(process.pid, ending)  # as a terminal does
        standin.control("POST", "release", {"drop": True})
        output, _ = process.communicate(timeout=120)

    report = json.loads((tmp_path / "report.json").read_text())
    assert "Cleaning up" in output
    assert (process.returncode, report["interrupted"], report["clean_up"]["standing"]) == (1, True, [])
    assert seen(report, code) == "the run was interrupted"


def test_a_second_end_waits_for_the_cleaning_up(standin: Standin, tmp_path: Path) -> None:
    standin.fault("hold_after", method="POST", body="future", count=1)
    standin.fault("hold", method="PUT", path="/revoke$", count=1)
    command = [sys.executable, "-m", "scripts.sandbox", "--report", str(tmp_path / "report.md")]
    with subprocess.Popen([*command, "--only", "future-issued-at"], cwd=ROOT, env=os.environ) as process:
        standin.until_held()
        process.send_signal(signal.SIGINT)
        until(lambda: standin.faults()["held"] == 2, what="the clean-up has begun")
        process.send_signal(signal.SIGINT)
        standin.control("POST", "release", {"drop": False})

    assert process.returncode == 1
    assert json.loads((tmp_path / "report.json").read_text())["clean_up"]["standing"] == []
