"""Try faults with the tests that request their routes, in several processes at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from random import Random

from pytest_gaia.errors import ConfigError, GaiaError, SandboxError, nearest
from pytest_gaia.prove.cells import Batch, Cell, Cells, Checked, Ended, Failed, Map, Mapped, Ready, Tried
from pytest_gaia.prove.faults import BASIC, Fault, Route, Seen, faults_of
from pytest_gaia.prove.settings import Settings

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
    excluded: list[Fault] = field(default_factory=list)
    excluded_share: float = 0.0
    """of all faults, also those that a sample leaves out"""
    complete: bool = False
    """whether all faults of the project are planned, so that the score can be compared with that of other runs"""
    tried: dict[Fault, Tried] = field(default_factory=dict)
    unsettled: list[str] = field(default_factory=list)
    """tests that failed without a fault after a fault; what they caught does not count"""

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
    def not_requested(self) -> list[Route]:
        """Routes with faults in the catalog that no test requests. These faults are survivors."""
        return sorted({fault.route for fault in self.planned} - self.routes.keys())

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
                if isinstance(reply, Failed | Ended):
                    raise _failure(reply, cell)
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
            seconds = time.monotonic() - began
            over = seconds > budget
            while self._idle and self._waiting and not over:
                self._begin(self._idle.pop(), self._waiting.popleft())
            if over and not self._running:
                return
            for cell, reply in self._cells.replies(self._running):
                self._handle(proof, cell, reply)
            share = f", {proof.score:.0%} caught" if proof.tried else ""
            self._tell(f"{len(proof.tried)} of {len(proof.planned)} faults{share}, {seconds:.0f} s")

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
        for number, (route, faults) in enumerate(batches):
            if route in routes:
                self._waiting.append(Batch(number, faults, list(routes[route].tests), routes[route].shared))
            else:
                proof.tried |= {fault: Tried(fault) for fault in faults}

    def _begin(self, cell: Cell, batch: Batch) -> None:
        self._running[cell] = batch
        self._attempts[batch.number] = self._attempts.get(batch.number, 0) + 1
        cell.send(batch)

    def _handle(self, proof: Proof, cell: Cell, reply: object) -> None:
        match reply:
            case Ready():
                self._idle.append(cell)
            case Failed():
                raise _failure(reply, cell)
            case Ended():
                self._continue_after(proof, cell, reply)
            case Tried(fault=fault):
                proof.tried[fault] = reply
            case Checked(broken=broken):
                batch = self._running.pop(cell)
                if not broken:
                    self._idle.append(cell)
                    return
                self._again(proof, batch, broken)
                # Its state is not that of the beginning any more.
                self._cells.replace(cell)

    def _continue_after(self, proof: Proof, cell: Cell, end: Ended) -> None:
        """Try what is left of a batch in another process; the fault that made this one hang is caught."""
        batch = self._running.pop(cell, None)
        if batch is None or (not end.late and self._attempts[batch.number] >= _ATTEMPTS):
            raise _failure(end, cell)
        left = [fault for fault in batch.faults if fault not in proof.tried]
        if end.late and left:
            fault = left.pop(0)
            proof.tried[fault] = Tried(fault, end.reason)
        if left:
            self._waiting.append(Batch(batch.number, left, batch.tests, batch.fresh))
        self._cells.replace(cell)

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


def _failure(reply: Failed | Ended, cell: Cell) -> GaiaError:
    if isinstance(reply, Ended):
        return SandboxError(reply.reason)
    if reply.unavailable:
        return SandboxError(f"{reply.reason}\n{cell.output()}")
    return ConfigError(f"the tests cannot begin:\n{reply.reason}")


@dataclass(frozen=True)
class Choice:
    """Which faults to try."""

    settings: Settings
    given: Sequence[Fault] = ()
    """only these"""
    catalog: Sequence[Fault] | None = None
    """instead of generated ones"""
    partial: bool = False
    """whether only a part of the suites runs"""
    sample: int | None = None
    """number of random faults"""
    seed: int = 0
    kinds: Collection[str] = BASIC
    """kinds of generated faults"""

    def generated(self, mapped: Mapped) -> list[Fault]:
        """Return the faults of all routes. Raises ``ConfigError`` if there are none."""
        known = [each for seen in mapped.routes for each in faults_of(seen, self.kinds)]
        if not known:
            raise ConfigError("no test that passes sends a request, so there are no faults to try.")
        return known

    def proof(self, mapped: Mapped) -> Proof:
        """Return the faults to try. Raises ``ConfigError`` if there are none, or a given one is on an unknown route."""
        generated = self.generated(mapped)
        routes = {seen.route for seen in mapped.routes}
        for fault in self.given:
            if fault.route not in routes:
                near = nearest(str(fault.route), map(str, routes)).partition(" Known:")[0]
                raise ConfigError(f"no test that passes requests {fault.route}; {near}")
        if self.given:
            return Proof(mapped, list(self.given))
        # Of a part of the suites, only what it requests counts.
        known = [each for each in self.catalog or generated if not self.partial or each.route in routes]
        kept, excluded = self.settings.without_excluded(known)
        planned = kept
        if self.sample is not None and self.sample < len(kept):
            # S311: it keeps nothing secret.
            chosen = set(Random(self.seed).sample(range(len(kept)), self.sample))  # noqa: S311
            planned = [fault for at, fault in enumerate(kept) if at in chosen]
        share = len(excluded) / len(known) if known else 0.0
        return Proof(mapped, planned, excluded, share, complete=not self.partial and len(planned) == len(kept))
