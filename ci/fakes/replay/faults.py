"""Faults that the state file asks for: ``"faults": {"gaia-auth-staging": ["phantom"], "*": ["rate-limited:2"]}``.

A fault is ``kind[:number][@command]``. For most kinds the number is how many calls it shows in, and without one it
shows in every call; ``@command`` keeps it to one command, such as ``@deploy`` or ``@machine list``. An app's own
faults come before those of ``*``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

TIMED = ("slow", "reverting")
"""kinds whose number is not a count: seconds, and how many listings still show the new image"""


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
