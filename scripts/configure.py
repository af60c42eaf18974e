"""Settings by file and command: `python -m scripts.configure plan|apply|export|connect|enable`.

The checks are those of the forms. LAUREL_DATABASE_URL and PREFECT_API_URL choose database and server. The exit status
is 0 when all is done, 1 when something is left (`plan`: a difference; otherwise: not confirmed, or badges are held)
and 2 when something cannot be used and nothing was stored.
"""

import argparse
import asyncio
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from getpass import getpass
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings
from pydantic import BaseModel, SecretStr

from rules.badge.evidence import EvidenceKind
from rules.forms.configuration import Configuration, read_configuration, valid_configuration
from rules.forms.inputs import InvalidInput
from rules.forms.settings import ConnectionForm, IntegrationForm
from tasks.configuration.apply import apply
from tasks.configuration.plan import Plan, check_at_credly, export, plan_of
from tasks.menus.refresh import refresh
from tasks.runtime.run import Run, run_context

_REMOVE_AT_MOST = 20
_INTERRUPTED = 130  # as a shell reports Ctrl-C


async def _plan(run: Run, options: argparse.Namespace) -> int:
    plan = await plan_of(run, _configuration(options), prune=options.prune, remove_at_most=options.remove_at_most)
    await check_at_credly(run, plan)
    _show(plan)
    return 1 if plan.changes else 0


async def _apply(run: Run, options: argparse.Namespace) -> int:
    plan = await plan_of(run, _configuration(options), prune=options.prune, remove_at_most=options.remove_at_most)
    return await _carry_out(run, plan, options, origin=f"file {options.file.name}")


async def _export(run: Run, options: argparse.Namespace) -> int:
    text = await export(run)
    if options.file is None:
        print(text, end="")
        return 0
    try:
        with options.file.open("w" if options.force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InvalidInput(f"{options.file} exists already. Give another name, or add --force.") from None
    except OSError as error:
        raise InvalidInput(f"{options.file} cannot be written: {error.strerror}.") from None
    print(f"Written: {options.file}")
    return 0


async def _connect(run: Run, options: argparse.Namespace) -> int:
    block = options.token_block or f"credly-{re.sub('[^a-z0-9]+', '-', options.portal.casefold()).strip('-')}"
    given = _given(options, ConnectionForm) | {"token_block": block}
    plan = await plan_of(run, _one("connections", options.portal, given), prune=False, remove_at_most=0)
    return await _carry_out(run, plan, options, origin="command connect", token=_token(options.portal))


async def _enable(run: Run, options: argparse.Namespace) -> int:
    given = _given(options, IntegrationForm) | {"evidence": {kind: {"on": True} for kind in options.evidence}}
    plan = await plan_of(run, _one("integrations", options.achievement, given), prune=False, remove_at_most=0)
    return await _carry_out(run, plan, options, origin="command enable")


async def _carry_out(
    run: Run, plan: Plan, options: argparse.Namespace, *, origin: str, token: SecretStr | None = None
) -> int:
    ends = await check_at_credly(run, plan, token=token)
    _show(plan)
    if not plan.changes and token is None:
        return 0
    # Nothing is overwritten or removed unasked; a command that creates something asks nothing.
    replaces = any(each.before is not None for each in plan.changes)
    if (replaces or options.command == "apply") and not (options.yes or _confirmed()):
        print("Nothing was done.")
        return 1
    sentence, held = await apply(run, plan, ends, origin=origin, operator=options.operator, token=token)
    print("\n".join([sentence, *held]))
    refreshed = await refresh(run)
    if refreshed.needs_attention:
        print(refreshed.sentence)
    return 1 if held else 0


def _show(plan: Plan) -> None:
    print("\n".join(plan.lines or ["No difference: the settings are as they are given."]))


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        raise InvalidInput("There is no terminal to confirm on; add --yes.")
    try:
        return _answer(input, "Apply this? [y/N] ").strip().casefold() in ("y", "yes")
    except EOFError:
        return False


def _answer(ask: Callable[[str], str], prompt: str) -> str:
    # asyncio's own handler of Ctrl-C cancels a task, and the prompt would go on waiting.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return ask(prompt)
    finally:
        signal.signal(signal.SIGINT, before)


def _token(portal: str) -> SecretStr:
    """Read the token from the terminal without echo, or from a pipe; never from an argument."""
    prompt = f"Credly token of {portal} (not shown): "
    try:
        return SecretStr(_answer(getpass, prompt) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n"))
    except EOFError:
        raise InvalidInput("No token was entered; nothing was stored.") from None


def _configuration(options: argparse.Namespace) -> Configuration:
    try:
        content = options.file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{options.file} cannot be read: {error.strerror}.") from None
    return read_configuration(content)


def _one(table: str, key: str, given: Mapping[str, Any]) -> Configuration:
    return valid_configuration({table: {key: given}})


def _given(options: argparse.Namespace, form: type[BaseModel]) -> dict[str, Any]:
    values = {name: getattr(options, name, None) for name, _ in _fields(form)}
    return {name: value for name, value in values.items() if value is not None}


def _fields(form: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    """Yield the fields that are a single value, by their names for operators."""
    return ((field.alias or name, field) for name, field in form.model_fields.items() if name != "evidence")


def _add_fields(parser: argparse.ArgumentParser, form: type[BaseModel]) -> None:
    for name, field in _fields(form):
        kind, option = field.annotation, f"--{name.replace('_', '-')}"
        if field.is_required() and name != "token_block":
            parser.add_argument(name, help="its id at Credly")
        elif kind is bool:
            parser.add_argument(option, action="store_const", const=True)
        elif isinstance(kind, type) and issubclass(kind, StrEnum):
            parser.add_argument(option, choices=[each.value for each in kind])
        else:
            parser.add_argument(option)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.configure", description="Settings by file and command.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (("plan", "Show what a file would change."), ("apply", "Show it, confirm, and store it.")):
        command = commands.add_parser(name, help=words, description=words)
        command.add_argument("file", type=Path, metavar="FILE")
        command.add_argument("--prune", action="store_true", help="also remove what the file does not have")
        command.add_argument("--remove-at-most", type=int, default=_REMOVE_AT_MOST, metavar="N")
    words = "Write the present settings as a file, or to the terminal."
    command = commands.add_parser("export", help=words, description=words)
    command.add_argument("file", type=Path, metavar="FILE", nargs="?")
    command.add_argument("--force", action="store_true", help="replace an existing file")
    words = (
        "Connect a portal; asks for Credly's token and keeps it in a Secret block. Again with a new token: replace it."
    )
    command = commands.add_parser("connect", help=words, description=words)
    command.add_argument("portal", help="its id on the platform")
    _add_fields(command, ConnectionForm)
    words = "Enable Credly on an achievement, or change all of its settings."
    command = commands.add_parser("enable", help=words, description=words)
    command.add_argument("achievement", help="its id on the platform")
    _add_fields(command, IntegrationForm)
    command.add_argument("--evidence", nargs="+", choices=[kind.value for kind in EvidenceKind], default=[])
    for name in ("apply", "connect", "enable"):
        commands.choices[name].add_argument("--yes", action="store_true", help="store it without a question")
        commands.choices[name].add_argument("--operator", default="", help="your own id, kept in the history")
    return parser


_COMMANDS = {"plan": _plan, "apply": _apply, "export": _export, "connect": _connect, "enable": _enable}


async def configure(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    try:
        if options.command != "export":
            await _check_prefect()
        async with run_context() as run:
            return await _COMMANDS[options.command](run, options)
    except InvalidInput as invalid:
        print(invalid, file=sys.stderr)
    except PrefectHTTPStatusError as error:
        print(f"Prefect's server refuses the command with status {error.response.status_code}.", file=sys.stderr)
    return 2


async def _check_prefect() -> None:
    # Without an address Prefect would start a server of its own, whose blocks no worker reads.
    address = get_current_settings().api.url
    if not address:
        raise InvalidInput("Set PREFECT_API_URL to Prefect's server, such as http://127.0.0.1:4200/api.")
    async with get_client() as client:
        if await client.api_healthcheck() is not None:
            raise InvalidInput(f"Prefect's server at {address} does not answer. Look at PREFECT_API_URL.")


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        return asyncio.run(configure(arguments))
    except KeyboardInterrupt:
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
