"""Differences between the deploy files of two environments, by aspect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from pytest_gaia.config.deployfiles.model import App, Check, Deployment, Served
from pytest_gaia.config.deployfiles.read import as_environment
from pytest_gaia.config.deployfiles.values import Table
from pytest_gaia.config.platform import Platform
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight.files import env_place, inside, standing
from pytest_gaia.secrets.masks import MASK, mask_url
from pytest_gaia.secrets.names import is_secret_name
from pytest_gaia.secrets.shapes import is_literal, secret_shape


@dataclass(frozen=True, slots=True)
class Row:
    """One difference between two environments."""

    service: str
    aspect: str
    """aspect, such as ``memory`` or ``env.LOG_LEVEL``; ``service`` if one of them lacks the app"""
    left: str | None
    """value in the first environment, with secrets masked; None without one"""
    right: str | None
    place: Place
    """place in the second environment"""
    left_place: Place
    allowed_by: str | None = None
    """entry that allows it, or ``environment`` if only the name of the environment differs"""

    @property
    def allowed(self) -> bool:
        """Whether the difference is allowed."""
        return self.allowed_by is not None

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "service": self.service,
            "aspect": self.aspect,
            "left": self.left,
            "right": self.right,
            "left_place": str(self.left_place),
            "right_place": str(self.place),
            "allowed_by": self.allowed_by,
        }


BY_NAME = "environment"
"""value of ``allowed_by`` for differences in the name of the environment"""

WHOLE_SERVICE = "service"


def difference(left: Deployment, right: Deployment, allowed: Iterable[str] = ()) -> list[Row]:
    """Return the differences, in the order of services and aspects.

    ``allowed`` are entries of ``allowed_differences``: an aspect (``memory``, ``env.LOG_LEVEL``), a group of them
    (``env``), or one of a single service (``orders.memory``).
    """
    entries = tuple(allowed)
    services = dict.fromkeys(app.service for deployment in (left, right) for app in deployment.apps)
    declared = [name for name in left.platform if name in services]
    order = dict.fromkeys((*declared, *services))
    return [row for service in order for row in _rows(service, left, right, entries)]


def _rows(service: str, left: Deployment, right: Deployment, allowed: tuple[str, ...]) -> Iterator[Row]:
    one, other = left.app(service), right.app(service)
    if one is None or other is None:
        yield _missing(service, one, other, left, right, allowed)
        return
    # Keys of two tools cannot be compared, but their meaning can.
    raw = left.source == right.source
    ours, theirs = described(one, raw=raw), described(other, raw=raw)
    for aspect in dict.fromkeys((*ours, *theirs)):
        first, second = ours.get(aspect), theirs.get(aspect)
        if _plain(first) != _plain(second):
            by = _allowed_by(service, aspect, allowed)
            if by is None and _follows(first, second, left.environment, right.environment):
                by = BY_NAME
            places = second.place if second else other.place("app"), first.place if first else one.place("app")
            yield Row(service, aspect, _text(first), _text(second), *places, by)


def _missing(
    service: str, one: App | None, other: App | None, left: Deployment, right: Deployment, allowed: tuple[str, ...]
) -> Row:
    there = one or other
    assert there is not None
    place = there.place("app")
    names = one.name if one else None, other.name if other else None
    return Row(service, WHOLE_SERVICE, *names, place, place, _allowed_by(service, WHOLE_SERVICE, allowed))


def _text(value: Value | None) -> str | None:
    return None if value is None else value.shown


def _plain(value: Value | None) -> str | None:
    return None if value is None else value.text


def _follows(first: Value | None, second: Value | None, left: str, right: str) -> bool:
    """Whether two values differ only in the name of the environment."""
    if first is None or second is None:
        return False
    return as_environment(first.text, left) == as_environment(second.text, right)


def _allowed_by(service: str, aspect: str, allowed: tuple[str, ...]) -> str | None:
    parts = aspect.split(".")
    groups = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    wanted = {*groups, *(f"{service}.{group}" for group in groups), service}
    return next((entry for entry in allowed if entry.replace("[0]", "") in wanted), None)


def check_allowed(entries: Iterable[str], place: str, platform: Platform) -> None:
    """Raise ``ConfigError`` for an unknown entry of ``allowed_differences``."""
    for entry in entries:
        head, _, rest = entry.partition(".")
        aspect = rest if head in platform and rest else entry
        if aspect in platform or aspect.partition(".")[0] in ASPECTS:
            continue
        known = (*ASPECTS, *platform)
        raise ConfigError(
            f"{place}: allowed_differences: {entry!r} names nothing that can differ; {nearest(entry, known)}"
        )


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
"""aspect → its meaning"""

_COVERED = re.compile(
    r"app|primary_region|env|build\.(?:image|dockerfile)|vm\.(?:size|memory|memory_mb|cpus|cpu_kind)|"
    r"deploy\.(?:strategy|release_command)|image|environment|depends_on|ports|expose|healthcheck|"
    r"(?:http_service|services)\.(?:internal_port|protocol|force_https|auto_stop_machines|"
    r"auto_start_machines|min_machines_running|checks|ports|http_checks|tcp_checks)|checks"
)
"""keys of a file that are aspects of their own"""

_SIZE_KEY = re.compile(r"(?:^|[._])(?:memory|size|size_increment|size_limit)$")
_DURATION_KEY = re.compile(r"(?:timeout|interval|period|delay)$")


@dataclass(frozen=True, slots=True)
class Value:
    """One value, for comparison (``text``) and for output (``shown``)."""

    text: str
    place: Place
    shown: str


def described(app: App, *, raw: bool) -> dict[str, Value]:
    """Return aspect → value; with ``raw``, also other keys of the file."""
    values = dict(_machine(app))
    for number, served in enumerate(app.served):
        values |= {_numbered(aspect, number): value for aspect, value in _served(app, served)}
    values |= {f"env.{name}": _secretive(name, text, env_place(app, name)) for name, text in app.env.items()}
    if raw:
        for key, text, place in _rest(app):
            value = _secretive(key.rpartition(".")[2], text, place)
            values[f"file.{key}"] = replace(value, text=_plain_value(key, text))
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
    """Return the aspect of one of several ports; the first one has no number."""
    return aspect if number == 0 else f"{aspect}.{number + 1}"


def _rest(app: App) -> Iterator[tuple[str, str, Place]]:
    """Yield (key, value, place) of every value that is not an aspect of its own."""
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
            # A single table counts as a list of one.
            yield from _flat(each, (*step[:-1], f"{step[-1]}[{number}]") if number else step)
    else:
        yield step, str(node)


def _plain_value(key: str, text: str) -> str:
    """Return ``text`` for comparison: sizes in MB, durations in seconds."""
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
    """Return a value that is masked in output if it is a secret."""
    if secret_shape(text) == "a password in a URL":
        return _value(text, place)
    is_secret = secret_shape(text) is not None or (is_secret_name(name) and is_literal(text, name))
    return Value(text, place, MASK if is_secret else mask_url(text))
