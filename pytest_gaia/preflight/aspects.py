"""What can be said of one app, under words that are the same for all tools: the vocabulary of differences."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_gaia.config.deployfiles.values import Table
from pytest_gaia.config.secret_names import is_secret_name
from pytest_gaia.config.secrets import MASK, mask_url
from pytest_gaia.errors import ConfigError
from pytest_gaia.preflight.credentials import is_literal, secret_shape
from pytest_gaia.preflight.standing import env_place, inside, standing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gaia.config.deployfiles.model import App, Check, Place, Served

ASPECTS: dict[str, str] = {
    "service": "whether it is deployed at all",
    "app": "the app's name",
    "image": "the image that the file names",
    "build": "how it is built",
    "region": "the region",
    "memory": "memory of a machine",
    "cpus": "number of CPUs",
    "cpu_kind": "kind of CPU",
    "min_machines": "machines that are kept running",
    "autostop": "whether idle machines are stopped",
    "autostart": "whether a request starts them",
    "strategy": "how machines are replaced",
    "release_command": "what runs before a release",
    "ports": "served ports, inside and outside",
    "force_https": "whether plain HTTP leads to HTTPS",
    "checks": "health checks: kind, path, interval, timeout, grace period",
    "depends_on": "what it waits for, in a compose file",
    "env": "environment variables, each `env.NAME`",
    "file": "any other key of the deploy file, each `file.KEY`",
}
"""aspect → what it is"""

_COVERED = re.compile(
    r"app|primary_region|env|build\.(?:image|dockerfile)|vm\.(?:size|memory|memory_mb|cpus|cpu_kind)|"
    r"deploy\.(?:strategy|release_command)|image|environment|depends_on|ports|expose|healthcheck|"
    r"(?:http_service|services)\.(?:internal_port|protocol|force_https|auto_stop_machines|"
    r"auto_start_machines|min_machines_running|checks|ports|http_checks|tcp_checks)|checks"
)
"""keys of a file that an aspect of their own speaks for"""

_SIZE_KEY = re.compile(r"(?:^|[._])(?:memory|size|size_increment|size_limit)$")
_DURATION_KEY = re.compile(r"(?:timeout|interval|period|delay)$")


@dataclass(frozen=True, slots=True)
class Value:
    """One value, as it is compared and as it is shown."""

    text: str
    place: Place
    shown: str


def described(app: App, *, raw: bool) -> dict[str, Value]:
    """Return aspect → value; with ``raw`` also the keys of the file that no aspect speaks for."""
    values = dict(_machine(app))
    for number, served in enumerate(app.served):
        values |= {_numbered(aspect, number): value for aspect, value in _served(app, served)}
    values |= {f"env.{name}": _secretive(name, text, env_place(app, name)) for name, text in app.env.items()}
    if raw:
        for key, text, place in _rest(app):
            value = _secretive(key.rpartition(".")[2], text, place)
            values[f"file.{key}"] = replace(value, text=_plain(key, text))
    return values


def _machine(app: App) -> Iterator[tuple[str, Value]]:
    said = {
        "app": (app.name, ("app",)),
        "image": (app.image, ("build", "image")),
        "build": (app.dockerfile, ("build", "dockerfile")),
        "region": (app.region, ("primary_region",)),
        "memory": (f"{app.memory_mb} MB" if app.memory_mb else None, ("vm",)),
        "cpus": (app.cpus, ("vm",)),
        "cpu_kind": (app.cpu_kind, ("vm",)),
        "strategy": (app.strategy, ("deploy", "strategy")),
        "release_command": (app.release_command, ("deploy", "release_command")),
        "depends_on": (", ".join(app.depends_on) or None, ("depends_on",)),
    }
    for aspect, (value, key) in said.items():
        if value is not None:
            yield aspect, _value(value, standing(app, *key))
    serving = (group for served in app.served for group in served.groups)
    main = next((group for group in (*serving, *app.groups) if group in app.sizes), None)
    for group, size in app.sizes.items():
        if size.memory_mb and group != main:
            yield f"memory.{group}", _value(f"{size.memory_mb} MB", size.place)


def _served(app: App, served: Served) -> Iterator[tuple[str, Value]]:
    outside = served.open_port or ", ".join(map(str, served.ports)) or "none"
    yield "ports", _value(f"{served.internal_port} ({served.protocol}) from {outside}", served.place)
    said = {
        "force_https": ("yes" if served.force_https else "no", "force_https"),
        "autostop": (served.autostop, "auto_stop_machines"),
        "autostart": (
            None if served.autostart is None else ("yes" if served.autostart else "no"),
            "auto_start_machines",
        ),
        "min_machines": (served.min_machines, "min_machines_running"),
        "checks": ("; ".join(_check(each) for each in served.checks) or "none", "checks"),
    }
    for aspect, (value, key) in said.items():
        if value is not None:
            yield aspect, _value(value, inside(app, served.place, key))


def _check(each: Check) -> str:
    durations = {"every": each.interval, "timeout": each.timeout, "grace": each.grace}
    said = [f"{word} {seconds:g} s" for word, seconds in durations.items() if seconds is not None]
    asked = f"{each.method} {each.path}" if each.kind == "http" else each.kind
    return ", ".join([asked, *said])


def _numbered(aspect: str, number: int) -> str:
    """Return the aspect of one of several ports; that of the first has no number."""
    return aspect if number == 0 else f"{aspect}.{number + 1}"


def _rest(app: App) -> Iterator[tuple[str, str, Place]]:
    """Yield (key, value, place) of every value that no aspect speaks for."""
    for step, text in _flat(app.document, ()):
        plain = [part.partition("[")[0] for part in step]
        if not any(_COVERED.fullmatch(".".join(plain[:length])) for length in range(1, len(step) + 1)):
            yield ".".join(step), text, standing(app, *step)


def _flat(node: Any, step: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _flat(value, (*step, str(key)))
    elif isinstance(node, list) and any(isinstance(each, dict) for each in node):
        for number, each in enumerate(node):
            # A table that stands alone is a list of one.
            yield from _flat(each, (*step[:-1], f"{step[-1]}[{number}]") if number else step)
    else:
        yield step, str(node)


def _plain(key: str, text: str) -> str:
    """Return ``text`` as it is compared: sizes in MB, durations in seconds, however they are written."""
    table = Table("", {key: text}, {})
    with suppress(ConfigError):
        if _SIZE_KEY.search(key):
            return f"{table.megabytes(key)} MB"
        if _DURATION_KEY.search(key) and not text.isdigit():
            return f"{table.duration(key, 1.0)} s"
    return text


def _value(value: object, place: Place) -> Value:
    text = str(value)
    return Value(text, place, mask_url(text))


def _secretive(name: str, text: str, place: Place) -> Value:
    """Return a value that is shown masked where it is a secret."""
    if secret_shape(text) == "a password in a URL":
        return _value(text, place)
    is_secret = secret_shape(text) is not None or (is_secret_name(name) and is_literal(text, name))
    return Value(text, place, MASK if is_secret else mask_url(text))
