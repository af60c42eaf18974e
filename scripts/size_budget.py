"""Prints the size of functions and files beside well-kept repositories; fails at the hard limits below."""

import ast
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("flows", "tasks", "rules", "models", "credly", "reports", "demo", "settings.py")
ALSO_TYPED = ("scripts", "migrations", "bench")

FUNCTION_LINES = 60
FILE_LINES = 400
TEST_FILE_LINES = 600
MOCKS_PER_100_TESTS = 5

# What procrastinate, httpx, warehouse and GOV.UK Notify have. A range to live in, not a target: functions that are cut
# to reach a number end up smaller than a thought.
ANCHORS = {
    "function lines, p50": "8-10",
    "function lines, p75": "17-21",
    "function lines, p90": "up to 36",
    "functions with a docstring": "33-50 %",
    "comment lines": "2-4 %",
}

DOUBLES = {"mock", "mocker", "patch", "Mock", "MagicMock", "AsyncMock", "create_autospec"}

AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())


@dataclass(frozen=True)
class Function:
    """One function or method, nested ones included; `lines` is from `def` to its end, docstring included."""

    place: str
    name: str
    lines: int
    has_docstring: bool
    returns_typed: bool
    untyped: tuple[str, ...]


def sources(names: Sequence[str], root: Path = ROOT) -> list[Source]:
    """Return the Python files at or under the named files and folders that exist."""
    found = []
    for name in names:
        top = root / name
        for file in sorted(top.rglob("*.py")) if top.is_dir() else [top]:
            if file.exists():
                text = file.read_text(encoding="utf-8")
                found.append(Source(str(file.relative_to(root)), text, ast.parse(text)))
    return found


def functions(files: Sequence[Source]) -> list[Function]:
    return [
        Function(
            place=f"{file.path}:{node.lineno}",
            name=node.name,
            lines=(node.end_lineno or node.lineno) - node.lineno + 1,
            has_docstring=ast.get_docstring(node) is not None,
            returns_typed=node.returns is not None,
            untyped=tuple(_untyped(node)),
        )
        for file in files
        for node in ast.walk(file.tree)
        if isinstance(node, AnyFunction)
    ]


def _untyped(node: AnyFunction) -> Iterator[str]:
    spec = node.args
    named = [*spec.posonlyargs, *spec.args]
    if named and named[0].arg in {"self", "cls"}:
        named = named[1:]
    for argument in (*named, *spec.kwonlyargs, spec.vararg, spec.kwarg):
        if argument is not None and argument.annotation is None:
            yield argument.arg
    if node.returns is None:
        yield "return"


def percentile(numbers: Sequence[int], percent: int) -> int:
    """Return the smallest number that `percent` per cent of the numbers do not exceed; 0 of none."""
    return sorted(numbers)[math.ceil(len(numbers) * percent / 100) - 1] if numbers else 0


def doubles(files: Sequence[Source]) -> list[str]:
    """Return the place of each use of a mock, a patch or a `setattr` of MonkeyPatch; `setenv` is none."""
    return [
        f"{file.path}:{node.lineno}"
        for file in files
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Name | ast.Attribute) and _is_a_double(node)
    ]


def _is_a_double(node: ast.Name | ast.Attribute) -> bool:
    match node:
        case ast.Name(id=name):
            return name in DOUBLES
        case ast.Attribute(attr="setattr"):
            return True
        case ast.Attribute(value=ast.Name(id="unittest"), attr="mock"):
            return True
    return False


def _is_a_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def numbers(files: Sequence[Source], tests: Sequence[Source]) -> dict[str, str]:
    every = functions(files)
    lengths = [function.lines for function in every]
    written = [line for file in files for line in file.text.splitlines() if line.strip()]
    written_tests = [line for file in tests for line in file.text.splitlines() if line.strip()]
    return {
        **{f"function lines, p{at}": str(percentile(lengths, at)) for at in (50, 75, 90, 95)},
        "functions <= 20 lines": _share(sum(lines <= 20 for lines in lengths), len(lengths)),
        f"functions > {FUNCTION_LINES} lines": _share(sum(n > FUNCTION_LINES for n in lengths), len(lengths)),
        f"files > {FILE_LINES} lines": f"{sum(file.lines > FILE_LINES for file in files)}/{len(files)}",
        "functions with a return type": _share(sum(f.returns_typed for f in every), len(every)),
        "functions with a docstring": _share(sum(f.has_docstring for f in every), len(every)),
        "comment lines": _share(sum(_is_a_comment(line) for line in written), len(written)),
        "test lines per line": f"{len(written_tests) / len(written):.2f}" if written else "-",
        "mocks per 100 tests": f"{_per_100_tests(tests):.1f}",
    }


def _per_100_tests(tests: Sequence[Source]) -> float:
    count = sum(function.name.startswith("test") for function in functions(tests))
    return 100 * len(doubles(tests)) / max(count, 1)


def offences(product: Sequence[Source], also_typed: Sequence[Source], tests: Sequence[Source]) -> Iterator[str]:
    """Yield one sentence for each violation of a hard limit: where, its number, what to do."""
    every = functions(product)
    for function in every:
        if function.lines > FUNCTION_LINES:
            yield (
                f"{function.place} {function.name} has {function.lines} lines (at most {FUNCTION_LINES}): "
                "move a decision out of it into rules/, or a step into a function of its own"
            )
    yield from _too_long_files(product, FILE_LINES)
    yield from _too_long_files(tests, TEST_FILE_LINES)
    for function in [*every, *functions(also_typed)]:
        if function.untyped:
            yield f"{function.place} {function.name} has no type for {', '.join(function.untyped)}: add it"
    if _per_100_tests(tests) > MOCKS_PER_100_TESTS:
        for place in doubles(tests):
            yield (
                f"{place} is one of {_per_100_tests(tests):.1f} mocks or patches per 100 tests "
                f"(at most {MOCKS_PER_100_TESTS}): use the stand-in, a real database or a fake written by hand"
            )


def _too_long_files(files: Sequence[Source], limit: int) -> Iterator[str]:
    for file in files:
        if file.lines > limit:
            yield f"{file.path}:1 has {file.lines} lines (at most {limit}): split it by what its parts are about"


def main() -> int:
    product, tests = sources(PRODUCT), sources(["tests"])
    print(f"{'':<30} {'here':>8}   anchors")
    for name, value in numbers(product, tests).items():
        print(f"{name:<30} {value:>8}   {ANCHORS.get(name, '')}".rstrip())
    found = list(offences(product, sources(ALSO_TYPED), tests))
    for sentence in found:
        print(sentence, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
