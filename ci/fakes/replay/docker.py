"""The command line of ``docker``: commands, flags and exit codes.

Exit codes are the real ones: 125 for usage errors of ``docker``, 16 for those of ``compose``, 14 for a missing compose
file, 15 for an invalid one, 17 and 18 for a failed build and a failed pull, 130 for a signal.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from . import compose_commands as compose
from . import docker_engine as docker
from .docker_call import Call, rendered
from .docker_engine import EngineError
from .faults import take
from .flags import Line, Usage, flags, parse
from .process import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .state import Store


class Command(NamedTuple):
    """One command."""

    run: Callable[[Call], None]
    flags: str = ""


def _inspect(call: Call) -> None:
    call.before()
    state, kind = call.store.read(), call.command.split()[0]
    found, missing = [], []
    for name in call.line.arguments:
        entry = docker.find_image(state, name) if kind == "image" else _container(state, name)
        if entry is None:
            missing.append(name)
        else:
            found.append(entry)
    template = call.line.get("format")
    if not template:
        call.say(json.dumps(found, indent=4))
    for entry in found if template else ():
        call.say(rendered(template, entry))
    if missing:
        raise EngineError("\n".join(f"Error response from daemon: No such {kind}: {name}" for name in missing))


def _container(state: dict[str, Any], name: str) -> Any:
    for each in docker.engine(state)["containers"]:
        if name == each["name"] or (len(name) >= 4 and each["id"].startswith(name)):
            return docker.inspected(each)
    return None


def _version(call: Call) -> None:
    template = call.line.get("format")
    value = {"Client": {"Version": "28.5.1", "ApiVersion": "1.51"}, "Server": {"Version": "28.5.1", "Os": "linux"}}
    call.before()
    call.say(rendered(template, value) if template and template != "json" else json.dumps(value))


def _manifest(call: Call) -> None:
    reference = next(iter(call.line.arguments), "")
    state = call.store.read()
    if "@" not in reference and reference not in state.get("images", {}) and not docker.find_image(state, reference):
        raise EngineError(f"no such manifest: {reference}")
    call.say(json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"}, indent=3))


COMMANDS = {
    "version": Command(_version, "format/f"),
    "info": Command(_version, "format/f"),
    "image inspect": Command(_inspect, "format/f platform"),
    "container inspect": Command(_inspect, "format/f size/s:bool"),
    "manifest inspect": Command(_manifest, "verbose/v:bool insecure:bool"),
}
COMPOSE_FLAGS = """file/f:list project-name/p project-directory env-file:list profile:list ansi progress
    compatibility:bool dry-run:bool parallel:int all-resources:bool"""
COMPOSE = {
    "version": Command(compose.version, "short:bool format/f"),
    "config": Command(compose.config, "services:bool images:bool quiet/q:bool format"),
    "up": Command(
        compose.up,
        """detach/d:bool wait:bool wait-timeout:int no-deps:bool no-build:bool build:bool scale:list pull
        force-recreate:bool no-recreate:bool remove-orphans:bool renew-anon-volumes/V:bool quiet-pull:bool timeout/t:int
        always-recreate-deps:bool no-start:bool quiet-build:bool yes/y:bool""",
    ),
    "ps": Command(
        compose.ps, "all/a:bool format quiet/q:bool services:bool status:list filter no-trunc:bool orphans:bool"
    ),
    "logs": Command(
        compose.logs, "follow/f:bool tail/n timestamps/t:bool no-color:bool no-log-prefix:bool since until"
    ),
    "pull": Command(compose.pull, "quiet/q:bool ignore-pull-failures:bool include-deps:bool policy"),
    "build": Command(
        compose.build, "no-cache:bool pull:bool push:bool quiet/q:bool build-arg:list with-dependencies:bool"
    ),
    "stop": Command(compose.stop, "timeout/t:int"),
    "start": Command(compose.stop, "wait:bool wait-timeout:int"),
    "restart": Command(compose.stop, "timeout/t:int no-deps:bool"),
    "down": Command(compose.stop, "volumes/v:bool remove-orphans:bool timeout/t:int rmi"),
}


def main(words: Sequence[str]) -> int:
    """Run one command line, record it in the state file, and return its exit code."""
    return answer("docker", words, _run, interrupted=130)


def _run(words: list[str], store: Store) -> int:
    try:
        if words[:1] == ["compose"]:
            return _compose(words[1:], store)
        name = next((each for each in (" ".join(words[:2]), *words[:1]) if each in COMMANDS), None)
        if name is None:
            return _unknown(f"docker: unknown command: docker {words[0] if words else ''}", 125)
        line = parse(words[len(name.split()) :], flags(COMMANDS[name].flags))
        COMMANDS[name].run(Call(name, line, store))
    except Usage as error:
        return _unknown(str(error), 125)
    except EngineError as error:
        print(error, file=sys.stderr)
        return error.code
    return 0


def _compose(words: list[str], store: Store) -> int:
    with store.change() as state:
        plugin = take(state, "docker", "compose", "no-compose") is None
    if not plugin:
        # Without the plugin, docker reads the rest as its own flags.
        odd = next((word for word in words[:1] if word.startswith("-")), None)
        text = "docker: unknown command: docker compose"
        if odd is not None:
            text = f"unknown flag: {odd}" if odd.startswith("--") else f"unknown shorthand flag: '{odd[1]}' in {odd}"
        return _unknown(text, 125)
    try:
        outer = parse(words, flags(COMPOSE_FLAGS), interspersed=False)
        name = next(iter(outer.arguments), "")
        if name not in COMPOSE:
            return _unknown(f'unknown docker command: "compose {name}"', 16)
        line: Line = parse(outer.arguments[1:], flags(COMPOSE[name].flags))
    except Usage as error:
        return _unknown(str(error), 16)
    COMPOSE[name].run(Call(f"compose {name}", line, store, outer))
    return 0


def _unknown(text: str, code: int) -> int:
    print(f"{text}\n\nRun 'docker --help' for more information", file=sys.stderr)
    return code
