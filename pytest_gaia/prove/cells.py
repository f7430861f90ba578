"""The processes that run tests with faults, and the messages to and from them.

Each process has a session of pytest and a sandbox of its own. A message is one JSON object on a line.
"""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import msgspec

from pytest_gaia.errors import SandboxError
from pytest_gaia.prove.faults import Fault, Seen
from pytest_gaia.system.signals import ROUND

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

    fault: Fault
    caught: str = ""
    """the test that failed; empty if none did"""


class Checked(msgspec.Struct, tag="checked"):
    """End of a batch: the tests that caught something ran once more, without a fault."""

    broken: list[str]
    """those that failed; what they caught does not count"""


class Ended(msgspec.Struct, tag="ended"):
    """The process has ended, or was killed because it did not reply in time."""

    reason: str
    late: bool = False
    """whether it was killed"""


Reply = Ready | Failed | Mapped | Tried | Checked | Ended


_END_SECONDS = 15.0
"""how long a process may take to tear down its fixtures and to stop its sandbox"""
_LAST_LINES = 15
LONGEST = 120.0
"""seconds that one fault may take; after that, it counts as caught"""
_OPTIONS = ("-p", "pytest_gaia.plugin.proving", "-p", "no:cacheprovider", "-p", "no:allure_pytest")


class Cell:
    """One process. It ends with :meth:`close`, and when this process ends, however that happens."""

    def __init__(self, number: int, arguments: Sequence[str], folder: Path) -> None:
        self.number = number
        self._log = folder / f"cell-{number}.log"
        self._decoder = msgspec.json.Decoder(Reply)
        self._rest = b""
        self.heard = time.monotonic()
        """time of the last message"""
        self.socket, theirs = socket.socketpair()
        try:
            with self._log.open("wb") as log:
                # A session of its own, where Ctrl-C does not reach it. S603: this very interpreter.
                self._process = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-m", "pytest", *_OPTIONS, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, VARIABLE: str(theirs.fileno())},
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        except OSError as error:
            self.socket.close()
            raise SandboxError(f"Cannot start pytest: {error}") from error
        finally:
            theirs.close()

    def send(self, request: Request) -> None:
        """Send one request."""
        self.heard = time.monotonic()
        # If the process has ended, so do its replies.
        with suppress(OSError):
            self.socket.sendall(msgspec.json.encode(request) + b"\n")

    def receive(self) -> Iterator[Reply]:
        """Yield the replies that have arrived."""
        self.heard = time.monotonic()
        try:
            received = self.socket.recv(1 << 20)
        except OSError:
            received = b""
        if not received:
            yield self._ended()
            return
        *lines, self._rest = (self._rest + received).split(b"\n")
        yield from (self._decoder.decode(line) for line in lines)

    def _ended(self) -> Ended:
        output = self.output()
        return Ended(f"pytest ended unexpectedly (exit code {self._process.returncode}).\n{output}")

    def output(self) -> str:
        """Wait until the process has ended, and return the last lines of its output, which is buffered before."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        lines = self._log.read_text("utf-8", "replace").strip().splitlines()
        return "\n".join(f"  {line}" for line in lines[-_LAST_LINES:])

    def close(self) -> None:
        """Tell the process to end."""
        self.socket.close()

    def wait(self, deadline: float) -> None:
        """Wait until it has ended, and kill it at ``deadline``, a time of the monotonic clock."""
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                self._process.kill()
            time.sleep(0.01)


class Cells:
    """All processes; a context manager that ends them."""

    def __init__(self, arguments: Sequence[str], folder: Path, count: int) -> None:
        self._arguments = arguments
        self._folder = folder
        self._selector = selectors.DefaultSelector()
        self._started = 0
        self.all: list[Cell] = []
        self._count = count

    def __enter__(self) -> Self:
        try:
            for _ in range(self._count):
                self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for cell in self.all:
            cell.close()
        deadline = time.monotonic() + _END_SECONDS
        for cell in self.all:
            cell.wait(deadline)

    def start(self) -> Cell:
        """Start one more."""
        cell = Cell(self._started, self._arguments, self._folder)
        self._started += 1
        self.all.append(cell)
        self._selector.register(cell.socket, selectors.EVENT_READ, cell)
        return cell

    def replace(self, cell: Cell) -> None:
        """End one, and start another one."""
        self._selector.unregister(cell.socket)
        cell.close()
        cell.wait(time.monotonic() + _END_SECONDS)
        self.all.remove(cell)
        self.start()

    def replies(self, awaited: Container[Cell] = ()) -> Iterator[tuple[Cell, Reply]]:
        """Yield the replies that arrive within a short time, and the end of an ``awaited`` process that does not reply."""
        for key, _ in self._selector.select(ROUND):
            yield from ((key.data, reply) for reply in key.data.receive())
        now = time.monotonic()
        for cell in [cell for cell in self.all if cell in awaited and now - cell.heard > LONGEST]:
            yield cell, Ended(f"no reply within {LONGEST:g} s", late=True)
