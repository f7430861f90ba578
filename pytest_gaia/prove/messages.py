"""Messages between `gaia prove` and the processes that run tests: one JSON object a line on a socket."""

from __future__ import annotations

import msgspec

from pytest_gaia.prove.faults import Fault, Seen

VARIABLE = "GAIA_PROVE_SOCKET"
"""variable with the file descriptor of the socket"""


class Map(msgspec.Struct, tag="map"):
    """Run every test once, without a fault; the reply is :class:`Mapped`."""

    slowest: float
    """seconds above which a test is left out"""


class Batch(msgspec.Struct, tag="batch"):
    """Try faults of one route; the replies are :class:`Tried` for each of them, and then :class:`Checked`."""

    number: int
    faults: list[Fault]
    tests: list[str]
    fresh: bool = False
    """whether fixtures of all scopes are set up again for each fault"""


Request = Map | Batch


class Ready(msgspec.Struct, tag="ready"):
    """The services are ready."""

    tests: int


class Failed(msgspec.Struct, tag="failed"):
    """The process cannot run tests."""

    reason: str
    unavailable: bool
    """whether the cause is the sandbox, and not the tests"""


class Mapped(msgspec.Struct, tag="mapped"):
    """Which tests request which routes."""

    routes: list[Seen]
    suites: dict[str, str]
    """node ID → suite"""
    broken: list[str]
    """tests that do not pass"""
    slow: list[str]
    """tests that take too long"""


class Tried(msgspec.Struct, tag="tried"):
    """Result of one fault."""

    batch: int
    fault: Fault
    caught: str
    """the test that failed; empty if none did"""
    tests: int
    """number of tests that ran"""
    seconds: float


class Checked(msgspec.Struct, tag="checked"):
    """End of a batch: the tests that caught something ran once more, without a fault."""

    batch: int
    broken: list[str]
    """those that failed; what they caught does not count"""


Reply = Ready | Failed | Mapped | Tried | Checked
