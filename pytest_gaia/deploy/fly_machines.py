"""Machines of an app, as Fly's API describes them, and what that means.

Fields that nothing here asks for are left out; all others may be missing or null, as Go writes empty lists.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pytest_gaia.deploy.contract import Machine
from pytest_gaia.deploy.fly_json import convert

_V2 = "v2"
_EPHEMERAL = frozenset({"fly_app_release_command", "fly_app_console", "fly_app_test_machine_command"})
_GONE = frozenset({"destroying", "destroyed", "replaced", "migrated"})
_NO_CHECK = "bg_deployments_compat"


class _Service(msgspec.Struct):
    checks: list[Any] | None = None


class _Guest(msgspec.Struct):
    memory_mb: int | None = None


class _Config(msgspec.Struct):
    image: str = ""
    metadata: dict[str, str] | None = None
    services: list[_Service] | None = None
    checks: dict[str, Any] | None = None
    guest: _Guest | None = None
    standbys: list[str] | None = None


class _ImageRef(msgspec.Struct):
    registry: str = ""
    repository: str = ""
    tag: str = ""
    digest: str = ""

    def reference(self) -> str | None:
        """The whole of it, as people and flyctl write it."""
        if not self.repository:
            return None
        name = f"{self.registry}/{self.repository}" if self.registry else self.repository
        return f"{name}{self.tag and ':'}{self.tag}{self.digest and '@'}{self.digest}"


class _Exit(msgspec.Struct):
    exit_code: int = 0
    oom_killed: bool = False
    requested_stop: bool = False


class _Ended(msgspec.Struct):
    exit_event: _Exit | None = None


class _Cause(msgspec.Struct):
    exit_event: _Exit | None = None
    monitor: _Ended | None = msgspec.field(default=None, name="MonitorEvent")


class _Event(msgspec.Struct):
    type: str = ""
    timestamp: int = 0
    request: _Cause | None = None

    def is_crash(self) -> bool:
        """Whether the machine ended with an error, or for want of memory, and nobody had asked it to end."""
        if self.type != "exit" or self.request is None:
            return False
        ended = self.request.exit_event
        if ended is None and self.request.monitor is not None:
            ended = self.request.monitor.exit_event
        if ended is None:
            return False
        return ended.oom_killed or (ended.exit_code != 0 and not ended.requested_stop)


class _Check(msgspec.Struct):
    name: str = ""
    status: str = ""


class _Machine(msgspec.Struct):
    id: str
    state: str
    region: str = ""
    host_status: str = "ok"
    cordoned: bool | None = False
    image_ref: _ImageRef = msgspec.field(default_factory=_ImageRef)
    config: _Config | None = None
    incomplete_config: _Config | None = None
    events: list[_Event] | None = None
    checks: list[_Check] | None = None

    def settings(self) -> _Config:
        """Its configuration; of a machine whose host does not answer, what is known of it."""
        return self.config or self.incomplete_config or _Config()

    def serves(self) -> bool:
        """Whether it is one that a deployment makes and that stays."""
        metadata = self.settings().metadata or {}
        group = metadata.get("fly_process_group")
        managed = metadata.get("fly_platform_version") == _V2 and group not in _EPHEMERAL
        return managed and not self.settings().standbys and self.state not in _GONE

    def crashed(self) -> bool:
        """Whether it crashed after it was last started."""
        # Newest first; those of one moment stay in the order of the API, which is the same.
        events = sorted(self.events or [], key=lambda event: event.timestamp, reverse=True)
        last = next((event for event in events if event.type == "start" or event.is_crash()), None)
        return last is not None and last.type != "start"

    def observed(self) -> Machine:
        """What the contract says of it."""
        settings = self.settings()
        metadata = settings.metadata or {}
        release = metadata.get("fly_release_version", "")
        reported = [check for check in self.checks or [] if not check.name.startswith(_NO_CHECK)]
        configured = len(settings.checks or {}) + sum(len(service.checks or []) for service in settings.services or [])
        return Machine(
            id=self.id,
            state=self.state,
            group=metadata.get("fly_process_group", ""),
            region=self.region or None,
            image=self.image_ref.reference() or settings.image or None,
            digest=self.image_ref.digest or None,
            release=int(release) if release.isdecimal() else None,
            checks=max(configured, len(reported)),
            passing=sum(check.status == "passing" for check in reported),
            critical=sum(check.status == "critical" for check in reported),
            host_ok=self.host_status == "ok",
            cordoned=bool(self.cordoned),
            crashed=self.crashed(),
            memory_mb=settings.guest.memory_mb if settings.guest else None,
        )


def serving(values: Any) -> tuple[Machine, ...]:
    """Return the machines that serve, of what ``fly machine list --json`` printed. Raises :class:`NotJson`."""
    machines = convert(values, list[_Machine])
    return tuple(machine.observed() for machine in machines if machine.serves())
