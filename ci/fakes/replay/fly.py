"""The command line of ``fly``: commands, flags and exit codes.

Exit codes are the real ones: 0, 1 for any error, 126 for a deadline inside the tool, 127 for a signal.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from . import fly_changes as changes
from . import fly_commands as commands
from .flags import Usage, flags, parse
from .fly_call import Call
from .fly_deploy import deploy
from .fly_errors import ToolError
from .process import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .state import Store

GLOBAL = "access-token/t verbose:bool debug:bool help/h:bool"
APP = "app/a config/c"
JSON = f"{APP} json/j:bool"
GROUP = f"{APP} process-group/g group"
DEPLOY = f"""{APP} image/i remote-only:bool yes/y:bool strategy wait-timeout release-command-timeout deploy-retries
    detach:bool ha:bool no-cache:bool build-only:bool skip-release-command:bool primary-region"""


class Command(NamedTuple):
    """One command."""

    run: Callable[[Call], None]
    flags: str


# Only the commands and flags that gaia uses, or that a test of these fakes needs; docs/reference/flyctl.md has their sources.
COMMANDS: dict[str, Command] = {
    "version": Command(commands.version, "json/j:bool"),
    "status": Command(commands.status, f"{JSON} watch:bool"),
    "machine list": Command(commands.machine_list, JSON),
    "machine start": Command(changes.machine_start, APP),
    "machine wait": Command(commands.machine_wait, f"{APP} state wait-timeout/w:duration"),
    "deploy": Command(deploy, DEPLOY),
    "releases": Command(commands.releases, JSON),
    "secrets list": Command(commands.secrets_list, JSON),
    "scale count": Command(changes.scale_count, f"{GROUP} yes/y:bool region/r"),
    "scale memory": Command(changes.scale_memory, GROUP),
    "logs": Command(commands.logs, f"{JSON} no-tail/n:bool"),
}
ALIASES = {"machines": "machine", "m": "machine", "ls": "list"}


def main(words: Sequence[str]) -> int:
    """Run one command line, record it in the state file, and return its exit code."""
    return answer("fly", words, _run, interrupted=127)


def _run(words: list[str], store: Store) -> int:
    name, rest = _command(words)
    try:
        if name not in COMMANDS:
            _say_unknown(words)
            return 1
        command = COMMANDS[name]
        call = Call(name, parse(rest, flags(f"{GLOBAL} {command.flags}")), store)
        if name != "version":
            call.before()
        command.run(call)
    except Usage as error:
        print(f"Error: {error}\n", file=sys.stderr)
        return 1
    except ToolError as error:
        print(f"Error: {error}\n", file=sys.stderr)
        if error.hint:
            print(f"\n{error.hint}", file=sys.stderr)
        return error.code
    return 0


def _command(words: list[str]) -> tuple[str, list[str]]:
    """Split off the name of the command, one word or two, with aliases resolved."""
    named = [ALIASES.get(word, word) for word in words[:2]]
    if " ".join(named) in COMMANDS:
        return " ".join(named), words[2:]
    return (named[0], words[1:]) if named else ("", [])


def _say_unknown(words: list[str]) -> None:
    print(f'Error: unknown command "{words[0] if words else ""}" for "flyctl"\n', file=sys.stderr)
    print("Run 'flyctl --help' for usage.\n")
