"""From reports, which come phase by phase and from several workers, to one record a test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_gaia.verdict.evidence import Phase, TestRecord, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_gaia.verdict.evidence import State


@dataclass(slots=True)
class _Open:
    """A test of which not all phases are known yet."""

    attempt: int
    worker: str
    phases: list[Mapping[str, Any]] = field(default_factory=list)
    """plain values, as they came"""


@dataclass(slots=True)
class Assembly:
    """Collects phases and hands every test to ``sink`` as soon as it is complete. Each test is handed on once."""

    sink: Callable[[TestRecord], None]
    planned: dict[str, None] = field(default_factory=dict)
    """node ids of the selected tests, in order"""
    known: set[str] = field(default_factory=set)
    """node ids that were handed on with a final state"""
    _open: dict[str, _Open] = field(default_factory=dict)

    def plan(self, nodes: Iterable[str]) -> None:
        """Add selected tests; workers select the same ones, so the same node may come twice."""
        self.planned.update(dict.fromkeys(nodes))

    def phase(self, node: str, phase: Mapping[str, Any], *, attempt: int, worker: str) -> None:
        """Add one phase, as plain values. A new attempt closes the one before as ``retried``."""
        test = self._open.get(node)
        if test is not None and test.attempt != attempt:
            self._close(node, "retried")
            test = None
        if test is None:
            test = self._open[node] = _Open(attempt, worker)
        test.phases.append(phase)

    def complete(self, node: str, details: Mapping[str, Any]) -> None:
        """Close a test after its teardown. ``details`` are markers, services, core and exchanges, as plain values."""
        self._close(node, "ran", **_details(details))

    def crashed(self, node: str, message: str, worker: str) -> None:
        """Close the test during which a worker ended."""
        self._open.setdefault(node, _Open(1, worker))
        self._close(node, "crashed", message=message)

    def without_run(self, node: str, state: State, message: str = "") -> None:
        """Hand on a test that did not run: deselected, or a file that could not be collected. Once each."""
        if node not in self.known:
            self.known.add(node)
            self.sink(TestRecord(node, state, message=message))

    def finish(self) -> None:
        """Close what never came to its end, and what was selected and never began."""
        for node in list(self._open):
            self._close(node, "ran", message="the run ended before the test did")
        for node in self.planned:
            self.without_run(node, "never ran", "the run ended before the test began")

    def _close(self, node: str, state: State, **more: Any) -> None:
        test = self._open.pop(node)
        if state != "retried":
            self.known.add(node)
        phases = msgspec.convert(test.phases, tuple[Phase, ...])
        record = TestRecord(node, state, phases, attempt=test.attempt, worker=test.worker, **more)
        self.sink(record)


def _details(details: Mapping[str, Any]) -> dict[str, Any]:
    wires = details.get("exchanges", ())
    exchanges = msgspec.convert(wires, tuple[Wire, ...]) if wires else ()
    return {
        "markers": tuple(details.get("markers", ())),
        "services": tuple(details.get("services", ())),
        "core": bool(details.get("core", False)),
        "subject": str(details.get("subject", "")),
        "exchanges": exchanges,
    }
