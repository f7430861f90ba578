"""Faults that the state file asks for: ``"faults": {"gaia-auth-staging": ["phantom"], "*": ["rate-limited:2"]}``.

A fault is ``kind[:number][@command]``. For most kinds the number is how many calls it shows in, and without one it
shows in every call; ``@command`` keeps it to one command, such as ``@deploy`` or ``@machine list``. An app's own
faults come before those of ``*``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

TIMED = ("slow", "reverting")
"""kinds whose number is not a count: seconds, and how many listings still show the new image"""


FLY = {
    "rate-limited": "the API answers 429",
    "server-error": "the API answers 503",
    "list-fails": "`machine list` fails as it does for any answer of the API: machines could not be retrieved",
    "not-logged-in": "nobody is logged in",
    "unauthorised": "the token may not do this",
    "lease-held": "somebody else deploys: a machine's lease is held (deploy, machine start, scale)",
    "phantom": "a deployment ends well and updates nothing",
    "split": "a deployment fails before its last machine",
    "reverting": "machines go back to their image; the number: listings that still show the new one (1)",
    "suspended": "all machines sleep, from the next call on; a deployment updates them and wakes none",
    "slow": "each call takes a number of seconds (1); a deployment takes them before its last machine",
    "unhealthy": "checks of the new image do not pass; the deployment gives up waiting, an immediate one does not wait",
    "oom": "the new image runs out of memory",
    "release-command-fails": "the release command ends with 1",
    "image-gone": "the registry has no such image",
    "tool-error-after-success": "a deployment does all that it should, and ends with 1",
    "chatter": "other lines stand around JSON on standard output",
}
DOCKER = {
    "daemon-down": "the daemon does not answer (target docker)",
    "unauthorised": "the socket is not for this user (target docker)",
    "no-compose": "docker has no compose plugin (target docker)",
    "array": "`compose ps` prints one array, as older versions do (target docker)",
    "chatter": "a warning stands before the output of `compose ps` (target docker)",
    "slow": "a service, or with target docker every call, takes a number of seconds (1)",
    "rate-limited": "a service's image cannot be pulled: toomanyrequests",
    "server-error": "a service's image cannot be pulled: 503",
    "image-gone": "a service's image is not there",
    "build-fails": "a service's image cannot be built",
    "phantom": "`up` leaves a service's containers as they were",
    "split": "`up` replaces only the first container of a service",
    "unhealthy": "a service's check does not pass",
    "starting": "a service's check gives no answer in time",
    "crash": "a service ends with 1",
    "oom": "a service is killed for want of memory",
    "one-shot": "a service ends with 0",
    "tool-error-after-success": "`up --wait` does all that it should, and ends with 1 (target docker)",
}


class Fault(NamedTuple):
    """One fault, parsed."""

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
    """Return the first fault of ``kinds`` that this call shows, and count it down."""
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
