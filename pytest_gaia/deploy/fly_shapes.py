"""What flyctl prints of apps, releases, secrets and logs. Types of its GraphQL API have Go's names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from pytest_gaia.deploy.fly_json import convert


class Status(msgspec.Struct, frozen=True, rename="pascal"):
    """What ``fly status --json`` says of an app."""

    name: str
    deployed: bool = False
    hostname: str = ""
    version: int = 0
    """number of the current release; 0 for none"""


class Release(msgspec.Struct, frozen=True, rename="pascal"):
    """One release of an app. What flyctl does not ask its API for, and prints as empty, is left out."""

    version: int
    status: str = ""
    """``running``, ``complete``, ``failed`` or ``interrupted``; the last word of it may be missing, so prove nothing"""
    image_ref: str = ""
    description: str = ""
    created_at: str = ""
    """ISO 8601"""

    @property
    def complete(self) -> bool:
        """Whether flyctl says that it came to its end."""
        return self.status == "complete"


class _Organization(msgspec.Struct, frozen=True, rename="pascal"):
    slug: str = ""


class _CurrentRelease(msgspec.Struct, frozen=True, rename="pascal"):
    status: str = ""


class _App(msgspec.Struct, frozen=True, rename="pascal"):
    name: str
    deployed: bool = False
    hostname: str = ""
    status: str = ""
    organization: _Organization | None = None


@dataclass(frozen=True, slots=True)
class FlyApp:
    """One app of an organisation."""

    name: str
    deployed: bool
    hostname: str
    status: str
    """Fly's word: ``deployed``, ``suspended``, ``pending`` …"""
    organization: str
    """slug"""


class LogLine(msgspec.Struct, frozen=True):
    """One line of an app's log."""

    message: str = ""
    timestamp: str = ""
    """ISO 8601"""
    level: str = ""
    instance: str = ""
    """id of the machine"""
    region: str = ""


class Emitted(msgspec.Struct, frozen=True):
    """The release that a deployment has made (``FLY_EMIT_RELEASE_JSON``)."""

    id: str
    version: int
    image_ref: str


def status(value: Any) -> Status:
    """Return what ``fly status --json`` printed. Raises :class:`NotJson`."""
    return convert(value, Status)


def releases(values: Any) -> tuple[Release, ...]:
    """Return what ``fly releases --json`` printed, newest first. Raises :class:`NotJson`."""
    return tuple(sorted(convert(values, list[Release]), key=lambda release: -release.version))


def apps(values: Any) -> tuple[FlyApp, ...]:
    """Return what ``fly apps list --json`` printed, by name. Raises :class:`NotJson`."""
    found = sorted(convert(values, list[_App]), key=lambda app: app.name)
    return tuple(
        FlyApp(app.name, app.deployed, app.hostname, app.status, app.organization.slug if app.organization else "")
        for app in found
    )


def secret_names(values: Any) -> frozenset[str]:
    """Return the names of ``fly secrets list --json``, whose spelling of the key differs between versions."""
    entries = convert(values, list[dict[str, Any]])
    return frozenset(name for entry in entries if isinstance(name := entry.get("name", entry.get("Name")), str))


def log_line(value: Any) -> LogLine:
    """Return one entry of ``fly logs --json``. Raises :class:`NotJson`."""
    return convert(value, LogLine)


def emitted(stdout: str) -> Emitted | None:
    """Return the release that a deployment says it has made, on the last line that is one; None if there is none."""
    for line in reversed(stdout.splitlines()):
        if line.startswith("{"):
            try:
                return msgspec.json.decode(line, type=Emitted)
            except msgspec.MsgspecError:
                continue
    return None
