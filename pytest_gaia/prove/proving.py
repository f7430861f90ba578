"""Try faults with the tests that request their routes, in several processes at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from pytest_gaia.errors import ConfigError, SandboxError
from pytest_gaia.prove.cells import Cell, Cells
from pytest_gaia.prove.faults import Fault, Route, Seen
from pytest_gaia.prove.messages import Batch, Checked, Failed, Map, Mapped, Ready, Tried

SLOWEST = 1.5
"""seconds above which a test is left out"""
_BATCH = 12
"""faults of one route that a process gets at once"""
_ATTEMPTS = 2
"""how often a batch is tried whose tests fail without a fault afterwards"""


@dataclass
class Proof:
    """The results so far."""

    mapped: Mapped
    planned: list[Fault]
    tried: dict[Fault, Tried] = field(default_factory=dict)
    unsettled: list[str] = field(default_factory=list)
    """tests that failed without a fault after a fault; what they caught does not count"""
    seconds: float = 0.0

    @property
    def routes(self) -> dict[Route, Seen]:
        """The routes that tests request."""
        return {seen.route: seen for seen in self.mapped.routes}

    @property
    def caught(self) -> int:
        """Number of faults that a test caught."""
        return sum(bool(each.caught) for each in self.tried.values())

    @property
    def survivors(self) -> list[Fault]:
        """Faults that no test caught, in the order of routes."""
        return [fault for fault in self.planned if fault in self.tried and not self.tried[fault].caught]

    @property
    def score(self) -> float:
        """The share of the tried faults that a test caught."""
        return self.caught / len(self.tried) if self.tried else 0.0


class Proving:
    """One execution."""

    def __init__(self, cells: Cells, tell: Callable[[str], None], stopped: Callable[[], bool]) -> None:
        self._cells = cells
        self._tell = tell
        self._stopped = stopped
        self._idle: list[Cell] = []
        self._waiting: deque[Batch] = deque()
        self._running: dict[Cell, Batch] = {}
        self._attempts: dict[int, int] = {}

    def map(self) -> Mapped | None:
        """Return the routes that tests request, from one run without a fault; None if it is stopped."""
        self._tell("starting")
        asked = False
        while not self._stopped():
            for cell, reply in self._cells.replies():
                if isinstance(reply, Failed):
                    raise SandboxError(f"{reply.reason}.\n{cell.output()}")
                if isinstance(reply, Mapped):
                    self._idle.append(cell)
                    return reply
                if isinstance(reply, Ready):
                    if asked:
                        self._idle.append(cell)
                        continue
                    asked = True
                    self._tell(f"running {reply.tests} tests without a fault")
                    cell.send(Map(SLOWEST))
        return None

    def run(self, proof: Proof, budget: float) -> None:
        """Try the planned faults; stop after ``budget`` seconds."""
        began = time.monotonic()
        self._plan(proof)
        while (self._waiting or self._running) and not self._stopped():
            over = time.monotonic() - began > budget
            while self._idle and self._waiting and not over:
                self._begin(self._idle.pop(), self._waiting.popleft())
            if over and not self._running:
                return
            for cell, reply in self._cells.replies():
                self._handle(proof, cell, reply)
            proof.seconds = time.monotonic() - began
            share = f", {proof.score:.0%} caught" if proof.tried else ""
            self._tell(f"{len(proof.tried)} of {len(proof.planned)} faults{share}, {proof.seconds:.0f} s")

    def _plan(self, proof: Proof) -> None:
        by_route: dict[Route, list[Fault]] = {}
        for fault in proof.planned:
            by_route.setdefault(fault.route, []).append(fault)
        batches = [
            (route, faults[at : at + _BATCH])
            for route, faults in by_route.items()
            for at in range(0, len(faults), _BATCH)
        ]
        # So that what is tried within a budget is no part of the alphabet. S311: it keeps nothing secret.
        Random(0).shuffle(batches)  # noqa: S311
        routes = proof.routes
        self._waiting.extend(
            Batch(number, faults, list(routes[route].tests), routes[route].shared)
            for number, (route, faults) in enumerate(batches)
        )

    def _begin(self, cell: Cell, batch: Batch) -> None:
        self._running[cell] = batch
        self._attempts[batch.number] = self._attempts.get(batch.number, 0) + 1
        cell.send(batch)

    def _handle(self, proof: Proof, cell: Cell, reply: object) -> None:
        match reply:
            case Ready():
                self._idle.append(cell)
            case Failed(reason):
                raise SandboxError(f"{reason}.\n{cell.output()}")
            case Tried(fault=fault):
                proof.tried[fault] = reply
            case Checked(broken=broken):
                batch = self._running.pop(cell)
                if not broken:
                    self._idle.append(cell)
                    return
                self._again(proof, batch, broken)
                # Its state is not that of the beginning any more.
                self._cells.end(cell)
                self._cells.start()

    def _again(self, proof: Proof, batch: Batch, broken: Sequence[str]) -> None:
        """Try faults again that tests caught which fail without a fault now; at the end without these tests."""
        doubtful = [fault for fault in batch.faults if proof.tried[fault].caught in broken]
        for fault in doubtful:
            del proof.tried[fault]
        tests = batch.tests
        if self._attempts[batch.number] >= _ATTEMPTS:
            proof.unsettled.extend(node for node in broken if node not in proof.unsettled)
            tests = [node for node in tests if node not in broken]
        self._waiting.append(Batch(batch.number, doubtful, tests, batch.fresh))


def sampled(faults: Iterable[Fault], number: int | None, seed: int) -> list[Fault]:
    """Return ``number`` random faults, in their order; all of them if it is None."""
    known = list(faults)
    if number is None or number >= len(known):
        return known
    # S311: it keeps nothing secret.
    chosen = set(Random(seed).sample(range(len(known)), number))  # noqa: S311
    return [fault for at, fault in enumerate(known) if at in chosen]


def checked(faults: Iterable[Fault], mapped: Mapped) -> list[Fault]:
    """Return faults, if tests request their routes. Raises ``ConfigError`` for the first one that none requests."""
    routes = {seen.route for seen in mapped.routes}
    known = list(faults)
    for fault in known:
        if fault.route not in routes:
            raise ConfigError(f"no test requests {fault.route}, so nothing can catch `{fault}`.")
    return known
