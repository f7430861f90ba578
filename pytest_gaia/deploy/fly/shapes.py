"""Parse the JSON output of flyctl about apps, machines, releases, secrets and logs.

Types of its GraphQL API have Go names. Unused fields are left out; others may be missing or null, as Go writes empty
lists.
"""

import json
import re
from typing import Any, TypeVar, get_origin

import msgspec

from pytest_gaia.deploy.contract import LogLine, Machine, converted

T = TypeVar("T")

_START_OF_JSON = re.compile(r"^[\[{]|^(?:null|true|false)\s*$", re.MULTILINE)


class NotJson(ValueError):
    """The output of a tool has no JSON of the expected shape; the text is the reason."""


def find_json(text: str) -> Any:
    """Return the longest JSON value in ``text`` that starts a line. A tool may print other lines around it.

    Raises :class:`NotJson`.
    """
    decoder = msgspec.json.Decoder()
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, RecursionError):
        found = list(_values(text))
    if not found:
        raise NotJson("no JSON in its output")
    return max(found, key=lambda value: value[0])[1]


def _values(text: str) -> list[tuple[int, Any]]:
    """Return (length, value) of every JSON value that starts a line, without nested ones."""
    decoder, found, end = json.JSONDecoder(), [], 0
    for start in (match.start() for match in _START_OF_JSON.finditer(text)):
        if start < end:
            continue
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        found.append((end - start, value))
    return found


def convert(value: Any, kind: type[T]) -> T:
    """Return ``value`` as ``kind``; null counts as an empty list. Raises :class:`NotJson`."""
    empty = value is None and get_origin(kind) is list
    try:
        return converted([] if empty else value, kind)
    except msgspec.ValidationError as problem:
        raise NotJson(f"unexpected JSON: {problem}") from None


class Status(msgspec.Struct, frozen=True, rename="pascal"):
    """The output of ``fly status --json``."""

    name: str
    hostname: str = ""
    version: int = 0
    """number of the current release; 0 without one"""


class Release(msgspec.Struct, frozen=True, rename="pascal"):
    """One release of an app, without fields that flyctl always leaves empty."""

    version: int
    status: str = ""
    """``running``, ``complete``, ``failed`` or ``interrupted``; the last update may be missing, so it is not reliable"""
    image_ref: str = ""

    @property
    def complete(self) -> bool:
        """Whether flyctl reports it as complete."""
        return self.status == "complete"


class _Secret(msgspec.Struct):
    name: str


class Emitted(msgspec.Struct, frozen=True):
    """The release that a deployment has created (``FLY_EMIT_RELEASE_JSON``)."""

    id: str
    version: int
    image_ref: str


def status(value: Any) -> Status:
    """Parse the output of ``fly status --json``. Raises :class:`NotJson`."""
    return convert(value, Status)


def releases(values: Any) -> tuple[Release, ...]:
    """Parse the output of ``fly releases --json``, newest first. Raises :class:`NotJson`."""
    return tuple(sorted(convert(values, list[Release]), key=lambda release: -release.version))


def secret_names(values: Any) -> frozenset[str]:
    """Return the names in the output of ``fly secrets list --json``. Raises :class:`NotJson`."""
    return frozenset(secret.name for secret in convert(values, list[_Secret]))


def log_line(value: Any) -> LogLine:
    """Return one entry of ``fly logs --json``. Raises :class:`NotJson`."""
    return convert(value, LogLine)


def emitted(stdout: str) -> Emitted | None:
    """Return the release on the last line that contains one; None if there is none."""
    for line in reversed(stdout.splitlines()):
        if line.startswith("{"):
            try:
                return msgspec.json.decode(line, type=Emitted)
            except msgspec.MsgspecError:
                continue
    return None


_V2 = "v2"
_EPHEMERAL = frozenset({"fly_app_release_command", "fly_app_console", "fly_app_test_machine_command"})
_GONE = frozenset({"destroying", "destroyed", "replaced", "migrated"})


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
        """Return the complete reference."""
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

    def crash(self) -> _Exit | None:
        """Return how the machine failed or ran out of memory, without a request to stop; None for any other event."""
        if self.type != "exit" or self.request is None:
            return None
        monitor = self.request.monitor
        ended = (monitor and monitor.exit_event) or self.request.exit_event
        if ended is None or not (ended.oom_killed or (ended.exit_code != 0 and not ended.requested_stop)):
            return None
        return ended


class _Check(msgspec.Struct):
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
        """Return its configuration, which may be incomplete if its host does not respond."""
        return self.config or self.incomplete_config or _Config()

    def serves(self) -> bool:
        """Whether a deployment created it, and it serves requests."""
        metadata = self.settings().metadata or {}
        group = metadata.get("fly_process_group")
        managed = metadata.get("fly_platform_version") == _V2 and group not in _EPHEMERAL
        return managed and not self.settings().standbys and self.state not in _GONE

    def crash(self) -> _Exit | None:
        """Return how it crashed after it was last started; None if it did not."""
        # Newest first; the sort keeps the order of simultaneous events.
        events = sorted(self.events or [], key=lambda event: event.timestamp, reverse=True)
        last = next((event for event in events if event.type == "start" or event.crash()), None)
        return last.crash() if last else None

    def observed(self) -> Machine:
        """Return it as an observed machine."""
        settings = self.settings()
        metadata = settings.metadata or {}
        release = metadata.get("fly_release_version", "")
        reported = self.checks or []
        configured = len(settings.checks or {}) + sum(len(service.checks or []) for service in settings.services or [])
        crash = self.crash()
        return Machine(
            id=self.id,
            state=self.state,
            group=metadata.get("fly_process_group", ""),
            region=self.region or None,
            image=self.image_ref.reference() or settings.image or None,
            digest=self.image_ref.digest or None,
            version=int(release) if release.isdecimal() else None,
            checks=max(configured, len(reported)),
            passing=sum(check.status == "passing" for check in reported),
            critical=sum(check.status == "critical" for check in reported),
            host_ok=self.host_status == "ok",
            cordoned=bool(self.cordoned),
            crashed=crash is not None,
            exit_code=crash.exit_code or None if crash else None,
            out_of_memory=crash is not None and crash.oom_killed,
            memory_mb=settings.guest.memory_mb if settings.guest else None,
        )


def serving(values: Any) -> tuple[Machine, ...]:
    """Return the serving machines in the output of ``fly machine list --json``. Raises :class:`NotJson`."""
    machines = convert(values, list[_Machine])
    return tuple(machine.observed() for machine in machines if machine.serves())
