"""The command line of ``docker``: commands, flags and exit codes.

Exit codes are the real ones: 125 for usage errors of ``docker``, 16 for those of ``compose``, 14 for a missing compose
file, 15 for an invalid one, 17 and 18 for a failed build and a failed pull, 130 for a signal. What this fake does not
reproduce is refused with 16 or 125; ``tests/docker/test_situations.py`` compares it with a real engine.
"""

from __future__ import annotations

import datetime
import json
import sys
import time
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
    kind = call.command.split()[0]
    found, missing = [], []
    with call.store.change() as state:
        for name in call.line.arguments:
            entry = docker.find_image(state, name) if kind == "image" else docker.find_container(state, name)
            if entry is None:
                missing.append(name)
                continue
            found.append(entry)
            if entry.get("State", {}).get("Restarting"):
                # Between two looks, its restart policy has started it again.
                entry["RestartCount"] += 1
    template = call.line.get("format")
    if not template:
        call.say(json.dumps(found, indent=4))
    for entry in found if template else ():
        call.say(rendered(template, entry))
    if missing:
        what = "object" if kind == "inspect" else kind
        raise EngineError("\n".join(f"Error: No such {what}: {name}" for name in missing))


def _ps(call: Call) -> None:
    call.before()
    state = call.store.read()
    given = [each.partition("=")[::2] for each in call.line.get("filter", [])]
    if odd := [name for name, _ in given if name not in FILTERS]:
        raise EngineError(f"Error response from daemon: Invalid filter '{odd[0]}'")
    for each in reversed(docker.engine(state)["containers"]):
        if not (call.line.get("all") or each["State"]["Running"]):
            continue
        # Filters of the same name are alternatives, except those by label.
        if all(any(FILTERS[key](each, value) for other, value in given if other == key) for key, _ in given) and all(
            FILTERS[key](each, value) for key, value in given if key == "label"
        ):
            shown = {**docker.listed(each), **({"ID": each["Id"]} if call.line.get("no-trunc") else {})}
            template = "{{.ID}}" if call.line.get("quiet") else call.line.get("format", "")
            call.say(json.dumps(shown) if template in ("json", "{{json .}}") else rendered(template, shown))


def _has_label(container: dict[str, Any], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    labels = container["Config"]["Labels"]
    return key in labels and (not equals or labels[key] == value)


FILTERS: dict[str, Callable[[dict[str, Any], str], bool]] = {
    "label": _has_label,
    "publish": lambda each, wanted: int(wanted.partition("/")[0]) in docker.ports(each),
    "status": lambda each, wanted: each["State"]["Status"] == wanted,
    "name": lambda each, wanted: wanted in each["Name"],
}


def _events(call: Call) -> None:
    call.before()
    if not call.line.get("until"):
        raise EngineError("this fake does not wait for events; add --until")
    wanted = {each.partition("=")[2] for each in call.line.get("filter", []) if each.startswith("event=")}
    since, until = (_moment(call.line.get(name, "0")) for name in ("since", "until"))
    for each in docker.engine(call.store.read())["events"]:
        if since <= _moment(each["time"]) <= until and (not wanted or each["Action"] in wanted):
            call.say(rendered(call.line.get("format", "{{.ID}} {{.Action}}"), each))


def _moment(text: str) -> float:
    """Return a time in seconds: ISO 8601, seconds since 1970, or seconds ago (``10s``)."""
    if text.endswith("s"):
        return time.time() - float(text[:-1])
    if "T" not in text:
        return float(text)
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.datetime.fromisoformat(f"{seconds}+00:00").timestamp() + float(f"0.{fraction or 0}")


def _version(call: Call) -> None:
    template = call.line.get("format")
    value = {"Client": {"Version": "20.10.24", "ApiVersion": "1.41"}, "Server": {"Version": "20.10.24", "Os": "linux"}}
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
    "inspect": Command(_inspect, "format/f size/s:bool type"),
    "ps": Command(_ps, "all/a:bool quiet/q:bool no-trunc:bool filter/f:list format"),
    "events": Command(_events, "since until filter/f:list format"),
    "manifest inspect": Command(_manifest, "verbose/v:bool insecure:bool"),
}
COMPOSE_FLAGS = """file/f:list project-name/p project-directory env-file:list profile:list ansi progress
    compatibility:bool parallel:int all-resources:bool"""
COMPOSE = {
    "version": Command(compose.version, "short:bool format/f"),
    "config": Command(compose.config, "services:bool images:bool quiet/q:bool format hash"),
    "up": Command(
        compose.up,
        """detach/d:bool wait:bool wait-timeout:int no-deps:bool no-build:bool build:bool scale:list pull
        force-recreate:bool no-recreate:bool remove-orphans:bool renew-anon-volumes/V:bool quiet-pull:bool timeout/t:int
        always-recreate-deps:bool no-start:bool quiet-build:bool yes/y:bool""",
    ),
    "logs": Command(
        compose.logs, "follow/f:bool tail/n timestamps/t:bool no-color:bool no-log-prefix:bool since until"
    ),
    "build": Command(
        compose.build, "no-cache:bool pull:bool push:bool quiet/q:bool build-arg:list with-dependencies:bool"
    ),
    "stop": Command(compose.change, "timeout/t:int"),
    "kill": Command(compose.change, "signal/s"),
    "pause": Command(compose.change),
    "unpause": Command(compose.change),
    "start": Command(compose.change),
    "restart": Command(compose.change, "timeout/t:int no-deps:bool"),
    "down": Command(compose.change, "volumes/v:bool remove-orphans:bool timeout/t:int"),
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
