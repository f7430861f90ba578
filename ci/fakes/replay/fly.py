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
DEPLOY = f"""{APP} image/i region/r remote-only:bool local-only:bool depot yes/y:bool now:bool strategy
    wait-timeout:duration release-command-timeout:duration deploy-retries lease-timeout:duration detach:bool ha:bool
    no-cache:bool build-only:bool push:bool skip-release-command:bool skip-health-checks:bool smoke-checks:bool
    dns-checks:bool env/e:list build-arg:list build-secret:list build-target image-label label:list dockerfile
    nixpacks:bool update-only:bool max-unavailable vm-memory vm-cpus:int vm-cpu-kind vm-size export-manifest
    primary-region exclude-regions only-regions process-groups immediate-max-concurrent:int buildkit:bool"""


class Command(NamedTuple):
    """One command."""

    run: Callable[[Call], None]
    flags: str


COMMANDS: dict[str, Command] = {
    "version": Command(commands.version, "json/j:bool"),
    "auth whoami": Command(commands.whoami, "json/j:bool"),
    "apps list": Command(commands.apps_list, "json/j:bool org/o quiet/q:bool"),
    "status": Command(commands.status, f"{APP} json/j:bool all:bool deployment:bool watch:bool rate:int"),
    "machine list": Command(commands.machine_list, f"{APP} json/j:bool quiet/q:bool"),
    "machine start": Command(changes.machine_start, f"{APP} select:bool"),
    "machine stop": Command(changes.machine_stop, f"{APP} select:bool signal/s timeout:int wait-timeout/w:duration"),
    "machine suspend": Command(changes.machine_stop, f"{APP} select:bool wait-timeout/w:duration"),
    "machine wait": Command(commands.machine_wait, f"{APP} select:bool state wait-timeout/w:duration"),
    "deploy": Command(deploy, DEPLOY),
    "releases": Command(commands.releases, f"{APP} json/j:bool image:bool"),
    "image show": Command(commands.image_show, f"{APP} json/j:bool"),
    "checks list": Command(commands.checks_list, f"{APP} json/j:bool check-name"),
    "config show": Command(commands.config_show, f"{APP} local:bool toml:bool yaml:bool"),
    "secrets list": Command(commands.secrets_list, f"{APP} json/j:bool"),
    "scale show": Command(commands.scale_show, f"{APP} json/j:bool"),
    "scale count": Command(changes.scale_count, f"{APP} yes/y:bool region/r process-group max-per-region:int"),
    "scale memory": Command(changes.scale_memory, f"{APP} process-group/g group"),
    "logs": Command(commands.logs, f"{APP} json/j:bool no-tail/n:bool region/r instance/i machine"),
    "mpg list": Command(commands.clusters, "json/j:bool org/o deleted:bool"),
}
ALIASES = {"machines": "machine", "m": "machine", "ls": "list", "app": "apps", "display": "show", "release": "releases"}


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
