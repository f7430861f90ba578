"""Fault injection by the state file: ``"faults": {"gaia-auth-staging": ["split"], "*": ["rate-limited:2"]}``.

A fault is ``kind[:number][@command]``. For most kinds the number limits the calls that it affects; ``@command`` limits it
to one command, such as ``@deploy`` or ``@machine list``. Faults of an app come before those of ``*``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

TIMED = ("slow", "reverting")
"""kinds whose number is not a count: seconds, or listings that still show the new image"""


FLY = {
    "rate-limited": "the API returns 429",
    "server-error": "the API returns 503",
    "list-fails": "`machine list` fails with an unexpected status",
    "not-logged-in": "the user is not logged in",
    "unauthorised": "the token lacks the permission",
    "lease-held": "another deployment holds the lease of a machine (deploy, machine start, scale)",
    "phantom": "a deployment succeeds, but updates nothing",
    "split": "a deployment fails before its last machine",
    "reverting": "machines revert to their image; the number: listings that still show the new one (1)",
    "suspended": "all machines are suspended from the next call on; a deployment updates but does not start them",
    "slow": "each call takes a number of seconds (1), a deployment before its last machine",
    "unhealthy": "health checks of the new image fail; the deployment times out, an immediate one does not wait",
    "oom": "the new image runs out of memory",
    "release-command-fails": "the release command exits with 1",
    "image-gone": "the image is not in the registry",
    "tool-error-after-success": "a deployment succeeds, but exits with 1",
    "chatter": "other lines surround JSON on standard output",
}
DOCKER = {
    "daemon-down": "the daemon does not respond (target docker)",
    "unauthorised": "the user may not use the socket (target docker)",
    "no-compose": "docker has no compose plugin (target docker)",
    "slow": "a service takes a number of seconds (1); with target docker, every call",
    "rate-limited": "a service's image cannot be pulled: toomanyrequests",
    "server-error": "a service's image cannot be pulled: 503",
    "image-gone": "the image of a service is missing",
    "build-fails": "a service's image cannot be built",
    "phantom": "`up` does not change the containers of a service",
    "split": "`up` replaces only the first container of a service",
    "unhealthy": "the health check of a service fails",
    "starting": "the health check of a service times out",
    "crash": "a service exits with 1",
    "oom": "a service runs out of memory",
    "one-shot": "a service exits with 0",
    "tool-error-after-success": "`up --wait` succeeds, but exits with 1 (target docker)",
}
KUBERNETES = {
    "down": "the API server refuses connections (target kubectl)",
    "unauthorised": "the user is not logged in (target kubectl)",
    "rate-limited": "the API server returns 429 (target kubectl)",
    "server-error": "the API server returns 500 (target kubectl)",
    "slow": "each call takes a number of seconds (1) (target kubectl)",
    "chatter": "a warning precedes the output (target kubectl)",
    "forbidden": "the user may not get or patch a workload, `pods` or a namespace",
    "phantom": "`set image` succeeds, but the image is restored at once",
    "image-gone": "the image of new pods is not in the registry",
    "crash": "new pods exit with 1",
    "never-ready": "new pods run, but never become ready",
    "unschedulable": "no node has resources for new pods",
}


class Fault(NamedTuple):
    """A parsed fault."""

    kind: str
    number: float | None
    command: str | None

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read ``kind[:number][@command]``."""
        rest, _, command = text.partition("@")
        kind, _, number = rest.partition(":")
        return cls(kind, float(number) if number else None, command or None)

    def __str__(self) -> str:
        number = "" if self.number is None else f":{self.number:g}"
        return f"{self.kind}{number}{'@' + self.command if self.command else ''}"


def take(state: dict[str, Any], target: str | None, command: str, *kinds: str) -> Fault | None:
    """Return the first fault of ``kinds`` that affects this call, and count it down."""
    for key in dict.fromkeys([target or "*", "*"]):
        listed = state["faults"].get(key, [])
        for index, text in enumerate(listed):
            fault = Fault.parse(text)
            if fault.kind in kinds and fault.command in (None, command):
                _count_down(listed, index, fault)
                return fault
    return None


def _count_down(listed: list[str], index: int, fault: Fault) -> None:
    if fault.number is None or fault.kind in TIMED:
        return
    if fault.number <= 1:
        del listed[index]
    else:
        listed[index] = str(fault._replace(number=fault.number - 1))
