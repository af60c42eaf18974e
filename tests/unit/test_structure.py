"""The repository agrees with itself: flows with deployments, documents with code."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rules.ledger.transitions import RULES

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
NOT_IMPORTABLE = {"tests", "migrations", "docs"}


def test_every_flow_file_has_a_deployment_and_every_deployment_a_flow_file() -> None:
    deployed = {path for path, _flow in _entrypoints()}

    assert deployed == {f"flows/{file.name}" for file in _flow_files()}


def test_every_deployment_names_a_flow_that_its_file_defines() -> None:
    missing = [f"{path}:{flow}" for path, flow in _entrypoints() if flow not in _flows_of(ROOT / path)]

    assert missing == []


def test_each_transition_is_made_by_steps_of_a_run_or_by_deployments() -> None:
    steps = {"planning", "preflight", "issuing", "a migration"}
    makers = {each for rule in RULES.values() for each in rule.by.split(", ")}

    assert makers >= steps
    assert makers - steps <= {Path(path).stem.replace("_", "-") for path, _ in _entrypoints()}


def test_no_flow_file_hides_a_package_or_a_standard_module() -> None:
    taken = sys.stdlib_module_names | _top_level_names() | {canonicalize_name(one.name) for one in _dependencies()}

    # Prefect puts flows/ first on sys.path and leaves it there.
    assert [file.name for file in _flow_files() if file.stem in taken] == []


def test_the_state_of_an_issuance_is_written_in_one_file() -> None:
    def writes(node: ast.AST) -> bool:
        if isinstance(node, ast.Dict):
            return any(isinstance(key, ast.Constant) and key.value == "state" for key in node.keys)
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "values"):
            return False
        return any(word.arg == "state" for word in node.keywords)

    places = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "models").rglob("*.py")
        if any(writes(node) for node in ast.walk(_tree(file)))
    }

    assert places == {"models/ledger/transitions.py"}


def test_no_flow_file_defines_a_class() -> None:
    classes = [
        f"{file.name}:{node.lineno}"
        for file in _flow_files()
        for node in ast.walk(_tree(file))
        if isinstance(node, ast.ClassDef)
    ]

    # A flow file is loaded under two module names, so its classes would exist twice.
    assert classes == []


def test_every_form_that_changes_something_asks_for_the_operator_and_keeps_who_started_it() -> None:
    reads_only = {"explain.py", "list_integrations.py", "export.py", "export_user.py", "report.py"}
    forms = {path for path, tags in _deployments() if "people" in tags} | {"flows/revoke_withdrawn.py"}
    without = []
    for path in sorted(forms - {f"flows/{name}" for name in reads_only}):
        text = (ROOT / path).read_text(encoding="utf-8")
        if 'operator: OperatorId = ""' not in text or not re.search(r"run_form\(\s*run,\s*operator,", text):
            without.append(path)

    assert len(forms) > len(reads_only)
    assert without == []


def test_settings_are_written_with_their_history() -> None:
    kept_by_runs = {"planned_at", "token_ends_at", "renewal_tried_at"}
    found = [
        f"{file.relative_to(ROOT)}:{line} {written}"
        for package in ("automations", "flows", "models", "reports", "rules", "tasks")
        for file in sorted((ROOT / package).rglob("*.py"))
        for line, written, columns in _settings_writes(_tree(file))
        if written != "update" or not columns or columns - kept_by_runs
    ]

    assert found == []


def test_every_package_is_under_the_import_rules() -> None:
    rules = _pyproject()["tool"]["importlinter"]
    packages = {init.parent.name for init in ROOT.glob("*/__init__.py")}

    assert packages - NOT_IMPORTABLE == set(rules["root_packages"])


def test_the_settings_import_nothing_of_ours() -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(_tree(ROOT / "settings.py"))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert imported & (_top_level_names() | {"prefect"}) == set()


def test_no_test_folder_is_a_package() -> None:
    # tests/.../tasks/__init__.py would hide the package tasks.
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_every_make_target_in_the_readme_exists() -> None:
    shown = _code_in(README.read_text(encoding="utf-8"))
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", shown))

    assert "test" in named
    assert named - set(targets) == set()


def test_every_setting_says_what_it_is() -> None:
    settings = import_module("settings").Settings

    assert [name for name, field in settings.model_fields.items() if not field.description] == []


def test_every_setting_is_documented() -> None:
    documents = _documents()
    names = [f"LAUREL_{field.upper()}" for field in import_module("settings").Settings.model_fields]

    assert [name for name in names if not re.search(rf"\b{name}\b", documents)] == []


@pytest.mark.parametrize("module", ["rules.ledger.states", "rules.ledger.reasons"])
def test_every_state_and_reason_is_documented(module: str) -> None:
    documents = _documents()
    members = [
        member
        for enum in vars(import_module(module)).values()
        if isinstance(enum, type) and issubclass(enum, StrEnum) and enum.__module__ == module
        for member in enum
    ]

    assert members
    assert [member.value for member in members if f"`{member.value}`" not in documents] == []


def _flow_files() -> list[Path]:
    return [file for file in sorted((ROOT / "flows").glob("*.py")) if file.name != "__init__.py"]


def _entrypoints() -> list[tuple[str, str]]:
    deployments = ROOT / "prefect.yaml"
    if not deployments.exists():
        return []
    return re.findall(
        r"""^[\s-]*entrypoint:\s*["']?([^\s"':]+):(\w+)""", deployments.read_text(encoding="utf-8"), re.MULTILINE
    )


def _deployments() -> list[tuple[str, str]]:
    text = (ROOT / "prefect.yaml").read_text(encoding="utf-8")
    return re.findall(r"entrypoint:\s*([^\s:]+):\w+.*?tags:\s*\[([^]]*)\]", text, re.DOTALL)


def _settings_writes(tree: ast.Module) -> Iterator[tuple[int, str, set[str | None]]]:
    """Yield each insert, update and delete on the tables of settings, with the columns that it sets."""
    models = {"CredlyConnection", "CredlyIntegration"}
    tables = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _names_of(node.value) & models
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    in_sql = re.compile(r"(insert into|update|delete from)\s+credly_(connections|integrations)", re.IGNORECASE)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in calls:
        named = _names_of(call.args[0]) if call.args else set()
        if _called(call) in ("insert", "update", "delete") and named & (tables | models):
            values = [each for each in calls if _called(each) == "values" and call in ast.walk(each.func)]
            yield call.lineno, _called(call), {word.arg for each in values for word in each.keywords}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and (written := in_sql.search(str(node.value))):
            yield node.lineno, written[0], set()


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _names_of(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _flows_of(file: Path) -> set[str]:
    if not file.exists():
        return set()
    return {node.name for node in _tree(file).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def _top_level_names() -> set[str]:
    return {init.parent.name for init in ROOT.glob("*/__init__.py")} | {file.stem for file in ROOT.glob("*.py")}


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _dependencies() -> list[Requirement]:
    project = _pyproject()
    return [Requirement(one) for one in [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]]


def _code_in(markdown: str) -> str:
    return "\n".join(re.findall(r"^```.*?^```|`[^`\n]+`|^ {4}.*$", markdown, re.DOTALL | re.MULTILINE))


def _documents() -> str:
    files = [README, *sorted((ROOT / "docs").rglob("*.md"))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file.exists())


def test_reference_pages_are_current() -> None:
    from scripts.write_reference import DOCS, PAGES, PARTS, with_part

    for name, page in PAGES.items():
        assert (DOCS / name).read_text(encoding="utf-8") == page(), "run python -m scripts.write_reference"
    for name, (title, part) in PARTS.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        assert f"<!-- end of {title} -->" in text
        assert text == with_part(text, title, part()), "run python -m scripts.write_reference"
