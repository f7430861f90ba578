"""From what workers report to one record a test, each handed on once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_gaia.verdict.evidence import Phase, TestRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_gaia.verdict.evidence import State

_ENDED = "the run ended before the test did"


@dataclass(slots=True)
class Assembly:
    """Hands the record of every test to ``sink`` as soon as it is known, and at the end those of the missing ones."""

    sink: Callable[[TestRecord], None]
    planned: dict[str, None] = field(default_factory=dict)
    """node ids of the selected tests, in order"""
    _known: set[str] = field(default_factory=set)
    _ended: list[str] = field(default_factory=list)
    """those that have become known since somebody asked"""
    _failed: dict[str, TestRecord] = field(default_factory=dict)
    """worker → its latest test, if that did not pass: another attempt at it may follow"""

    def plan(self, nodes: Iterable[str]) -> None:
        """Add selected tests; workers select the same ones, so the same node may come twice."""
        self.planned.update(dict.fromkeys(nodes))

    def complete(self, record: TestRecord, *, passed: bool) -> None:
        """Hand on a test that ran to its end; one that has not ``passed`` waits for another attempt, which counts it."""
        before = self._failed.pop(record.worker, None)
        if before is not None and (before.node != record.node or before.attempt >= record.attempt):
            self._hand_on(before)
        if passed:
            self._hand_on(record)
        else:
            self._failed[record.worker] = record

    def settle(self) -> None:
        """Another test begins, or none: no attempt follows at the latest one of any worker."""
        while self._failed:
            self._hand_on(self._failed.pop(next(iter(self._failed))))

    def begun_elsewhere(self, node: str, worker: str) -> None:
        """Do as :meth:`settle` for ``worker``, which runs ``node`` now, unless that is another attempt."""
        before = self._failed.get(worker)
        if before is not None and before.node != node:
            self._hand_on(self._failed.pop(worker))

    def complete_elsewhere(self, plain: Mapping[str, Any], worker: str) -> None:
        """Do as :meth:`complete` with a test that ran on ``worker``, which has sent its record as plain values."""
        record = msgspec.convert({**plain, "worker": worker}, TestRecord)
        self.complete(record, passed=all(phase.outcome == "passed" for phase in record.phases))

    def without_end(self, node: str, state: State, message: str = "", worker: str = "main") -> None:
        """Hand on a test that did not run to its end: deselected, or never begun. A node that is known is left out."""
        if not self._knows(node):
            self._hand_on(TestRecord(node, state, message=message, worker=worker))

    def crashed(self, node: str, message: str, worker: str) -> None:
        """Hand on the test during which a worker ended, even if the same test has come to its end elsewhere."""
        if (before := self._failed.pop(worker, None)) is not None:
            self._hand_on(before)
        self._hand_on(TestRecord(node, "crashed", message=message, worker=worker))

    def not_collected(self, node: str, message: str, *, skipped: bool) -> None:
        """Hand on a file that could not be collected, or that skipped itself as a whole. Every worker finds it so."""
        if not self._knows(node):
            left_out = (Phase("collect", "skipped", reason=message),) if skipped else ()
            self._hand_on(TestRecord(node, "not collected", left_out, message=message))

    def finish(self) -> None:
        """Hand on what was selected and is not known to have ended."""
        self.settle()
        self._learn()
        for node in [node for node in self.planned if node not in self._known]:
            self.without_end(node, "never ran", _ENDED)

    def _hand_on(self, record: TestRecord) -> None:
        self._ended.append(record.node)
        self.sink(record)

    def _knows(self, node: str) -> bool:
        self._learn()
        return node in self._known

    def _learn(self) -> None:
        # A list grows at no cost while tests run; a set is made of it when somebody asks.
        self._known.update(self._ended)
        self._ended.clear()
