"""Faults that a cell's services can be given, and which of them meet one request.

=================  =======================================  ========================================================
kind               arguments (with their defaults)          what the client sees
=================  =======================================  ========================================================
``slow``           ``delay`` = 0.5 seconds                  the answer comes late
``hang``                                                    no answer until the fault is removed
``status``         ``status`` = 500, ``body`` = None        that status, and ``body`` as JSON (a detail by default)
``reset``                                                   the connection is reset
``drop``           ``field``                                the field is missing: ``summary.total_cost``, ``items.*.id``
``set``            ``field``, ``value``                     the field has that value
``noop``                                                    a write answers as ever, and changes nothing
``accept_any_key``                                          every API key is accepted
``sse_truncate``   ``after`` = 3 events                     the event stream ends early
``sse_reorder``    ``move`` = complete, ``before`` = start  the event of the one type comes before that of the other
=================  =======================================  ========================================================

Every kind takes ``route`` (a path template such as ``/api/v0.2/personas/{persona_id}``, or a prefix that ends in ``/*``),
``method`` and ``times`` (the number of requests it meets before it is used up).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_gaia.config.platform import HTTP_SERVICES
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.sandbox.services.routing import match

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUIRED = object()

KINDS: Mapping[str, Mapping[str, Any]] = {
    "slow": {"delay": 0.5},
    "hang": {},
    "status": {"status": 500, "body": None},
    "reset": {},
    "drop": {"field": REQUIRED},
    "set": {"field": REQUIRED, "value": REQUIRED},
    "noop": {},
    "accept_any_key": {},
    "sse_truncate": {"after": 3},
    "sse_reorder": {"move": "complete", "before": "start"},
}
"""kind → its arguments and their defaults"""

COMMON: Mapping[str, Any] = {"route": None, "method": None, "times": None}
"""the arguments that every kind takes"""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "delay": (int, float),
    "status": (int,),
    "field": (str,),
    "after": (int,),
    "move": (str,),
    "before": (str,),
    "route": (str,),
    "method": (str,),
    "times": (int,),
}

STATELESS = ("gateway", "auth")
"""Services that write nothing themselves, for which ``noop`` has no meaning."""


@dataclass(slots=True)
class Fault:
    """One fault of one service."""

    member: str
    kind: str
    arguments: Mapping[str, Any]
    route: str | None = None
    method: str | None = None
    left: int | None = None
    removed: asyncio.Event = field(default_factory=asyncio.Event)

    def meets(self, member: str, method: str, path: str) -> bool:
        """Whether the fault is for this request."""
        return (
            self.member == member
            and self.left != 0
            and (self.method is None or self.method == method)
            and (self.route is None or _covers(self.route, path))
        )


class Faults:
    """The faults of one cell."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, member: str, kind: str, **arguments: object) -> Fault:
        """Give ``member`` a fault. Raises ``ConfigError`` for an unknown member, kind or argument, or a wrong value."""
        _check_member(member, kind)
        complete = _complete(kind, arguments)
        route, method, times = (complete.pop(name) for name in COMMON)
        fault = Fault(member, kind, complete, route, method.upper() if method else None, times)
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all faults; requests that hang are let go."""
        for fault in self._faults:
            fault.removed.set()
        self._faults.clear()

    def take(self, member: str, method: str, path: str) -> tuple[Fault, ...]:
        """Return the faults that meet this request, in the order they were added, and count it against them."""
        met = tuple(fault for fault in self._faults if fault.meets(member, method, path))
        for fault in met:
            if fault.left is not None:
                fault.left -= 1
        return met

    def __len__(self) -> int:
        return sum(fault.left != 0 for fault in self._faults)


def _covers(route: str, path: str) -> bool:
    path = path.rstrip("/")
    if route.endswith("/*"):
        prefix = route.removesuffix("/*")
        return path == prefix or path.startswith(f"{prefix}/")
    return match(route.rstrip("/"), path) is not None


def _check_member(member: str, kind: str) -> None:
    if member not in HTTP_SERVICES:
        raise ConfigError(f"A fault is for one of the services, not {member!r}: {nearest(member, HTTP_SERVICES)}")
    if kind not in KINDS:
        raise ConfigError(f"Unknown kind of fault {kind!r}: {nearest(kind, KINDS)}")
    if kind == "noop" and member in STATELESS:
        raise ConfigError(f"Fault noop: {member} writes nothing itself; give the fault to chat or asset.")


def _complete(kind: str, arguments: Mapping[str, object]) -> dict[str, Any]:
    """Return the arguments, all of them checked, with the defaults filled in."""
    known = {**KINDS[kind], **COMMON}
    given = {name: value for name, value in arguments.items() if name not in COMMON or value is not None}
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"Fault {kind} has no argument {name!r}: {nearest(name, known)}")
        wanted = _TYPES.get(name)
        if wanted and (not isinstance(value, wanted) or isinstance(value, bool)):
            raise ConfigError(f"Fault {kind}: {name} must be {wanted[-1].__name__}, not {value!r}.")
    missing = [name for name, default in known.items() if default is REQUIRED and name not in given]
    if missing:
        raise ConfigError(f"Fault {kind} needs {' and '.join(missing)}.")
    complete = {**known, **given}
    if complete["times"] is not None and complete["times"] < 1:
        raise ConfigError(f"Fault {kind}: times must be at least 1, not {complete['times']}.")
    return complete
