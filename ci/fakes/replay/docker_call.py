"""One call of ``docker``: its command line, state and output."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from . import faults
from .docker_engine import EngineError
from .process import Process

if TYPE_CHECKING:
    from .flags import Line
    from .state import Store

SOCKET = "unix:///var/run/docker.sock"
NO_DAEMON = f"Cannot connect to the Docker daemon at {SOCKET}. Is the docker daemon running?"
NO_RIGHT = (
    f"permission denied while trying to connect to the Docker daemon socket at {SOCKET}: Get "
    '"http://%2Fvar%2Frun%2Fdocker.sock/v1.50/version": dial unix /var/run/docker.sock: connect: permission denied'
)
TOO_MANY = (
    "Error response from daemon: toomanyrequests: You have reached your unauthenticated pull rate limit. "
    "https://www.docker.com/increase-rate-limit"
)
BROKEN = "Error response from daemon: received unexpected HTTP status: 503 Service Unavailable"
FIELD = re.compile(r"\{\{\s*(?P<json>json )?\s*\.(?P<path>[\w.]*)\s*\}\}")


class Call(Process):
    """One call; ``folder`` has the flags between ``compose`` and its command."""

    def __init__(self, command: str, line: Line, store: Store, folder: Line | None = None) -> None:
        self.command = command
        self.line = line
        self.store = store
        self.folder = folder

    def fault(self, state: dict[str, Any], target: str, *kinds: str) -> faults.Fault | None:
        """Return the injected fault of one of ``kinds`` for ``target`` (a service, or ``docker``), and count it down."""
        return faults.take(state, target, self.command, *kinds)

    def before(self) -> None:
        """Apply the faults of the daemon."""
        with self.store.change() as state:
            if self.fault(state, "docker", "daemon-down"):
                raise EngineError(NO_DAEMON)
            if self.fault(state, "docker", "unauthorised"):
                raise EngineError(NO_RIGHT)
            slow = self.fault(state, "docker", "slow")
        if slow:
            self.follow(slow.number or 1.0)

    def linger(self, service: str) -> None:
        """Wait as long as the fault ``slow`` of a service requires, or until a signal."""
        with self.store.change() as state:
            slow = self.fault(state, service, "slow")
        if slow:
            self.follow(slow.number or 1.0)


def rendered(template: str, value: dict[str, Any]) -> str:
    """Expand a simple Go template: ``{{.Id}}``, ``{{json .RepoDigests}}``, ``{{.State.OOMKilled}}``."""

    def put(found: re.Match[str]) -> str:
        part: Any = value
        for name in filter(None, found["path"].split(".")):
            if not isinstance(part, dict) or name not in part:
                raise EngineError(
                    f'template: :1:2: executing "" at <.{found["path"]}>: map has no entry for key "{name}"'
                )
            part = part[name]
        if found["json"] or isinstance(part, dict):
            return json.dumps(part, separators=(",", ":"))
        if isinstance(part, list):
            return "[" + " ".join(map(str, part)) + "]"
        return str(part).lower() if isinstance(part, bool) else str(part)

    return FIELD.sub(put, template)
