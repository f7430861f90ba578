"""What two environments differ in, by their deploy files: service by service, aspect by aspect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_gaia.config.platform import MEMBERS
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.preflight.aspects import ASPECTS, Value, described
from pytest_gaia.preflight.spelling import as_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_gaia.config.deployfiles.model import App, Deployment, Place


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that two environments differ in."""

    service: str
    aspect: str
    """what differs, such as ``memory`` or ``env.LOG_LEVEL``; ``service`` where one of them lacks the whole app"""
    left: str | None
    """the value in the first environment, secrets masked; None where it has none"""
    right: str | None
    place: Place
    """where the second environment says it, or would"""
    left_place: Place
    allowed_by: str | None = None
    """the entry that allows it, or ``environment`` where only the environment's own name differs"""

    @property
    def allowed(self) -> bool:
        """Whether the two may differ in it."""
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
"""what allows a value that follows the environment's own name"""

WHOLE_SERVICE = "service"


def difference(left: Deployment, right: Deployment, allowed: Iterable[str] = ()) -> list[Row]:
    """Return what differs, in the order of services and aspects; what is equal is left out.

    ``allowed`` are entries of ``allowed_differences``: an aspect (``memory``, ``env.LOG_LEVEL``), a group of them
    (``env``), or one of a single service (``chat.memory``).
    """
    entries = tuple(allowed)
    services = dict.fromkeys(app.service for deployment in (left, right) for app in deployment.apps)
    order = sorted(services, key=lambda name: MEMBERS.index(name) if name in MEMBERS else len(MEMBERS))
    return [row for service in order for row in _rows(service, left, right, entries)]


def _rows(service: str, left: Deployment, right: Deployment, allowed: tuple[str, ...]) -> Iterator[Row]:
    one, other = left.app(service), right.app(service)
    if one is None or other is None:
        yield _missing(service, one, other, left, right, allowed)
        return
    # Keys of two tools cannot be compared; what they come to can.
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
    """Whether two values differ in the name of the environment alone."""
    if first is None or second is None:
        return False
    return as_environment(first.text, left) == as_environment(second.text, right)


def _allowed_by(service: str, aspect: str, allowed: tuple[str, ...]) -> str | None:
    parts = aspect.split(".")
    groups = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    wanted = {*groups, *(f"{service}.{group}" for group in groups), service}
    return next((entry for entry in allowed if entry.replace("[0]", "") in wanted), None)


def check_allowed(entries: Iterable[str], place: str) -> None:
    """Raise ``ConfigError`` for an entry of ``allowed_differences`` that names nothing that can differ."""
    for entry in entries:
        head, _, rest = entry.partition(".")
        aspect = rest if head in MEMBERS and rest else entry
        if aspect in MEMBERS or aspect.partition(".")[0] in ASPECTS:
            continue
        known = (*ASPECTS, *MEMBERS)
        raise ConfigError(
            f"{place}: allowed_differences: {entry!r} names nothing that can differ; {nearest(entry, known)}"
        )
