"""What deploy/ names exists, and what it sets is understood by the Laurel and the Prefect that are installed."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.server.utilities import encryption
from prefect.settings import Settings as PrefectSettings
from prefect.settings.legacy import _get_valid_setting_names

from demo.servers import EVENTS_KEPT_SECONDS, FREQUENT_EVENTS
from settings import ROOT, Settings
from tests.support.deploy_files import (
    DEPLOY,
    UNITS,
    compose,
    copied,
    image_tree,
    instructions,
    lines_of,
    unit,
    unit_environment,
    variables_named,
)
from tests.support.prefect_server import unmeasured

INSTALLED_IN = "/opt/laurel"
IN_MEMORY = "/tmp"  # noqa: S108 - of a container, which nobody else sees
NOT_IN_THE_IMAGE = {"bench", "demo"}  # measurements, and an invented platform
FILLED = {
    "POSTGRES_PASSWORD": "p",
    "PASSWORD_OF_LAUREL": "l",
    "PASSWORD_OF_PREFECT": "q",
    "API_LOGIN": "operator:secret",
    "ENCRYPTION_KEY": "k",
}
SERVICES: dict[str, dict[str, Any]] = compose(FILLED)["services"]
OURS = [name for name in SERVICES if name != "postgres"]


def test_every_variable_is_a_setting_of_laurel_or_of_the_installed_prefect() -> None:
    text = "\n".join(file.read_text(encoding="utf-8") for file in DEPLOY.rglob("*") if file.is_file())
    named = set(re.findall(r"\b(?:LAUREL|PREFECT)_[A-Z_]*[A-Z]\b", text))

    ours = {f"LAUREL_{name.upper()}" for name in Settings.model_fields} | {"LAUREL_ROOT", "LAUREL_PYTHON"}
    # Prefect reads the key of its blocks without a setting.
    assert '"PREFECT_SERVER_ENCRYPTION_KEY"' in Path(encryption.__file__).read_text(encoding="utf-8")
    prefects = _get_valid_setting_names(PrefectSettings) | {"PREFECT_SERVER_ENCRYPTION_KEY"}

    assert len(named) > 20
    assert named - ours - prefects == set()


@pytest.mark.parametrize("where", ["compose", "systemd"])
def test_prefects_server_understands_how_long_history_is_kept(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "compose": SERVICES["prefect-server"]["environment"],
        "systemd": lines_of(DEPLOY / "systemd" / "prefect-server.env.example"),
    }[where]
    for name, value in found.items():
        monkeypatch.setenv(name, value)

    server = PrefectSettings().server

    assert server.services.db_vacuum.enabled_vacuum_types == {"events", "flow_runs", "orphans"}
    assert server.services.db_vacuum.retention_period == timedelta(days=30)
    assert server.services.db_vacuum.event_retention_overrides == {
        name: timedelta(seconds=EVENTS_KEPT_SECONDS) for name in FREQUENT_EVENTS
    }
    assert server.events.retention_period == timedelta(days=7)
    assert server.concurrency.lease_storage.endswith("filesystem")
    assert server.services.task_run_recorder.batch_size == 100


def test_both_ways_set_the_same_for_prefects_server() -> None:
    container = {"PREFECT_SERVER_UI_STATIC_DIRECTORY"}
    command = {"PREFECT_SERVER_API_HOST", "PREFECT_SERVER_API_PORT"}  # arguments of the command in compose.yaml

    here = set(SERVICES["prefect-server"]["environment"]) - container
    there = set(lines_of(DEPLOY / "systemd" / "prefect-server.env.example")) - command

    assert here == there


def test_the_example_has_every_variable_of_the_compose_file_and_no_other() -> None:
    text = (DEPLOY / "example.env").read_text(encoding="utf-8")

    assert set(re.findall(r"^(?:# )?([A-Z_]+)=", text, re.MULTILINE)) == variables_named()


@pytest.mark.parametrize("missing", FILLED)
def test_no_secret_has_a_default(missing: str) -> None:
    with pytest.raises(AssertionError, match=f"{missing} is needed"):
        compose({name: value for name, value in FILLED.items() if name != missing})
    assert lines_of(DEPLOY / "example.env")[missing] == ""


@pytest.mark.parametrize("service", OURS)
def test_a_services_command_starts_what_exists(service: str) -> None:
    assert_starts_what_exists([str(word) for word in SERVICES[service]["command"]])


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.name)
def test_a_units_command_starts_what_exists_in_the_documented_folder(file: Path) -> None:
    service = dict(unit(file)["Service"])
    words = service["ExecStart"].split()

    assert service["WorkingDirectory"] == INSTALLED_IN
    assert words[0].startswith(f"{INSTALLED_IN}/.venv/bin/")
    assert_starts_what_exists([Path(words[0]).name, *words[1:]])
    assert service["EnvironmentFile"].removeprefix("/etc/laurel/") in {"laurel.env", "prefect-server.env"}


def assert_starts_what_exists(words: list[str]) -> None:
    assert (Path(sys.executable).parent / words[0]).exists()
    if words[:2] == ["python", "-m"]:
        assert find_spec(words[2]), words
    if "--pool" in words:
        assert words[words.index("--pool") + 1] == pool_of_prefect_yaml()


def pool_of_prefect_yaml() -> str:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    (name,) = {deployment["work_pool"]["name"] for deployment in deployments}
    return str(name)


def test_services_wait_for_one_another_and_can_be_asked_how_they_are() -> None:
    waits = {name: service.get("depends_on", {}) for name, service in SERVICES.items()}

    assert {other for each in waits.values() for other in each} <= set(SERVICES)
    assert waits["worker"] == {"setup": {"condition": "service_completed_successfully"}}
    assert [name for name, service in SERVICES.items() if "healthcheck" not in service] == ["setup"]


def test_workers_can_be_many_and_only_server_and_trigger_are_reached_from_this_machine() -> None:
    assert {"ports", "container_name", "hostname"} & set(SERVICES["worker"]) == set()
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"prefect-server": ["127.0.0.1:4200:4200"], "trigger": ["127.0.0.1:8070:8070"]}


def test_who_runs_flows_gets_neither_prefects_key_nor_its_database() -> None:
    workers = [SERVICES["worker"]["environment"], lines_of(DEPLOY / "systemd" / "laurel.env.example")]

    for environment in [*workers, SERVICES["setup"]["environment"]]:
        assert [name for name in environment if name.startswith("PREFECT_SERVER_")] == []
    users = {file.name: dict(unit(file)["Service"])["User"] for file in UNITS}
    assert users["laurel-prefect-server.service"] != users["laurel-worker@.service"]


def test_the_platforms_settings_reach_setup_and_workers_both_ways() -> None:
    platform = {f"LAUREL_{name.upper()}" for name in Settings.model_fields if name.startswith(("platform", "mapping"))}
    given = {name: f"of {name}" for name in platform}
    services = compose(FILLED | given)["services"]
    clients = [dict(unit(file)["Service"]) for file in UNITS if "prefect-server" not in file.name]

    assert len(platform) == 4
    for service in ("setup", "worker"):
        assert given.items() <= services[service]["environment"].items()
    assert {service["EnvironmentFile"] for service in clients} == {"/etc/laurel/laurel.env"}
    # The time limit has a default that fits, and any other line may follow.
    assert platform - {"LAUREL_PLATFORM_TIMEOUT"} <= lines_of(DEPLOY / "systemd" / "laurel.env.example").keys()


@pytest.mark.parametrize("example", ["example.env", "systemd/laurel.env.example"])
def test_an_example_leaves_the_platforms_settings_at_their_defaults(example: str) -> None:
    found = {name.removeprefix("LAUREL_").lower(): value for name, value in lines_of(DEPLOY / example).items()}
    values = {name: value for name, value in found.items() if name.startswith(("platform", "mapping"))}

    assert len(values) > 2
    assert Settings.model_validate(values) == Settings.model_validate({})


def test_each_role_is_made_in_one_place_only() -> None:
    made = re.compile(r"^CREATE (?:ROLE|USER) '?(\w+)", re.MULTILINE)
    pages = "".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "docs").rglob("*.md")))
    ours = made.findall((DEPLOY / "databases.sql").read_text(encoding="utf-8"))

    assert ours == ["laurel", "prefect"]
    assert len(set(made.findall(pages))) > 1
    assert set(ours) & set(made.findall(pages)) == set()


def test_databases_are_made_with_commands_that_psql_14_has() -> None:
    used = re.findall(r"\\(\w+)", re.sub(r"^--.*", "", (DEPLOY / "databases.sql").read_text(), flags=re.MULTILINE))

    assert set(used) == {"set", "gset", "if", "endif"}  # psql 10; \getenv would be 15


def test_the_command_laurel_runs_what_it_is_given_as_the_workers_run(tmp_path: Path) -> None:
    shown = tmp_path / "systemd-run"
    shown.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    shown.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    file = DEPLOY / "systemd" / "laurel-worker@.service"
    worker, environment = dict(unit(file)["Service"]), unit_environment(file)

    done = subprocess.run(
        [DEPLOY / "systemd" / "laurel", "flows.check", "a b"],
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )

    words = done.stdout.splitlines()
    assert words[-4:] == [f"{INSTALLED_IN}/.venv/bin/python", "-m", "flows.check", "a b"]
    assert {
        f"--uid={worker['User']}",
        f"--gid={worker['Group']}",
        f"--working-directory={worker['WorkingDirectory']}",
        f"--property=EnvironmentFile={worker['EnvironmentFile']}",
        *(f"--setenv={name}={value}" for name, value in environment.items() if name.startswith("LAUREL_")),
    } <= set(words)


def test_every_file_that_the_page_installs_exists() -> None:
    page = (DEPLOY / "README.md").read_text(encoding="utf-8")
    installed = re.findall(r"^ +install -m \d+ (\S+)", page, re.MULTILINE)

    assert len(installed) == 5
    assert [name for name in installed if not list((DEPLOY / "systemd").glob(name))] == []
    assert set(re.findall(r"python -m ([\w.]+)|^ +laurel ([\w.]+)", page, re.MULTILINE)) >= {
        ("flows.check", ""),
        ("scripts.configure", ""),
        ("", "flows.check"),
        ("", "scripts.configure"),
    }


def test_every_file_that_compose_names_exists_and_every_volume_is_declared() -> None:
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]

    folders = {"./lists"}  # which Compose makes where it is missing
    assert [name for name in mounted if name[0] == "." and name not in folders and not (DEPLOY / name).is_file()] == []
    assert {name for name in mounted if not name.startswith(".")} == set(compose()["volumes"])
    build = SERVICES["worker"]["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()


def test_lists_are_read_from_a_folder_of_the_machine() -> None:
    kept = dict(volume.split(":")[:2] for volume in SERVICES["worker"]["volumes"])

    assert kept["./lists"] == image_environment()["LAUREL_LISTS_FOLDER"]


def test_workers_ask_for_runs_as_often_as_the_page_of_the_endpoint_says() -> None:
    asked = [
        SERVICES["worker"]["environment"]["PREFECT_WORKER_QUERY_SECONDS"],
        compose(FILLED | {"PREFECT_WORKER_QUERY_SECONDS": "9"})["services"]["worker"]["environment"][
            "PREFECT_WORKER_QUERY_SECONDS"
        ],
        lines_of(DEPLOY / "systemd" / "laurel.env.example")["PREFECT_WORKER_QUERY_SECONDS"],
    ]
    page = (ROOT / "docs" / "how-to" / "trigger.md").read_text(encoding="utf-8")

    assert asked == ["2", "9", "2"]
    assert "`PREFECT_WORKER_QUERY_SECONDS`; 2 seconds or less" in page


def test_what_is_written_to_is_a_volume_or_in_memory() -> None:
    for name in OURS:
        environment = image_environment() | SERVICES[name]["environment"]
        kept = [volume.split(":")[1] for volume in SERVICES[name].get("volumes", [])]
        written = [environment["PREFECT_HOME"], environment.get("PREFECT_SERVER_UI_STATIC_DIRECTORY", IN_MEMORY)]
        if name == "worker":
            written.append(environment["LAUREL_REPORTS_FOLDER"])
        assert (SERVICES[name]["read_only"], SERVICES[name]["tmpfs"]) == (True, [IN_MEMORY])
        assert [folder for folder in written if folder not in kept and not folder.startswith(IN_MEMORY)] == []


def image_environment() -> dict[str, str]:
    return dict(word.split("=", 1) for name, words in instructions() if name == "ENV" for word in words)


def test_the_image_has_every_package_and_only_what_git_has() -> None:
    root_packages = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["root_packages"]
    )
    folders = {source.rstrip("/") for source in copied() if source.endswith("/")}

    assert folders == (root_packages - NOT_IN_THE_IMAGE) | {"migrations", "mappings"}
    assert [source for source in copied() if not (ROOT / source).exists()] == []
    let_in = re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(let_in) == {source.rstrip("/") for source in copied()}


def test_every_flow_can_be_imported_from_what_the_image_has(tmp_path: Path, runtime_python: Path) -> None:
    tree = image_tree(tmp_path)
    modules = [f"flows.{file.stem}" for file in (tree / "flows").glob("*.py")]
    modules += ["scripts.setup_deployment", "scripts.configure", "models.import_csv", "reports.html"]
    code = (
        f"import {', '.join(modules)}; from models.platform.mapping import READY_MADE\n"
        "from importlib.util import find_spec; print([each for each in ('pytest', 'mypy') if find_spec(each)])\n"
        "print(sorted(each.name for each in READY_MADE.iterdir()))"
    )

    done = subprocess.run(
        [runtime_python, "-c", code], cwd=tree, env=unmeasured(os.environ), capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", str(sorted(each.name for each in (ROOT / "mappings").iterdir()))]


def test_the_image_is_built_from_hashes_and_runs_as_nobody_in_particular() -> None:
    names = [name for name, _words in instructions()]
    runs = [" ".join(words) for name, words in instructions() if name == "RUN"]
    after_user = names[names.index("USER") :]

    assert dict(instructions())["FROM"] == ["python:3.11-slim"]
    assert [run for run in runs if "pip install" in run and "--require-hashes" not in run] == []
    assert {"RUN", "COPY", "USER"} & set(after_user[1:]) == set()
    assert dict(instructions())["USER"] == ["laurel"]
    assert dict(instructions())["WORKDIR"] == [image_environment()["LAUREL_ROOT"]]


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.name)
def test_a_unit_runs_confined_as_a_user_that_sysusers_makes(file: Path) -> None:
    service = dict(unit(file)["Service"])
    made = re.findall(r"^u (\S+)", (DEPLOY / "systemd" / "laurel.sysusers.conf").read_text(), re.MULTILINE)
    folders = [f"/var/lib/{folder}" for folder in service["StateDirectory"].split()]

    assert service["User"] in made
    assert service["Restart"] == {"exec": service["Restart"], "oneshot": "no"}[service["Type"]]
    assert (service["NoNewPrivileges"], service["ProtectSystem"], service["ProtectHome"]) == ("yes", "strict", "yes")
    assert unit_environment(file)["PREFECT_HOME"] in folders


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    names = {"laurel-worker@.service": "laurel-worker@8081.service"}
    files = []
    for file in UNITS:
        here = file.read_text(encoding="utf-8").replace(f"{INSTALLED_IN}/.venv", sys.prefix)
        files.append(tmp_path / names.get(file.name, file.name))
        files[-1].write_text(here.replace(INSTALLED_IN, str(ROOT)), encoding="utf-8")

    done = subprocess.run(
        ["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, [line for line in done.stderr.splitlines() if str(tmp_path) in line]) == (0, [])
