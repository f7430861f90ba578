"""From what workers report to one record a test, each handed on once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_gaia.verdict.evidence import TestRecord

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

    def plan(self, nodes: Iterable[str]) -> None:
        """Add selected tests; workers select the same ones, so the same node may come twice."""
        self.planned.update(dict.fromkeys(nodes))

    def complete(self, node: str, evidence: Mapping[str, Any], worker: str) -> None:
        """Hand on a test that ran to its end. ``evidence`` are the fields of a record, as plain values."""
        record = msgspec.convert(
            {"line": "test", "node": node, "state": "ran", "worker": worker, **evidence}, TestRecord
        )
        self._known.add(node)
        self.sink(record)

    def without_end(self, node: str, state: State, message: str = "", worker: str = "main") -> None:
        """Hand on a test that did not run to its end: deselected, not collected, or its worker ended. Once each."""
        if node not in self._known:
            self._known.add(node)
            self.sink(TestRecord(node, state, message=message, worker=worker))

    def finish(self) -> None:
        """Hand on what was selected and is not known to have ended."""
        for node in self.planned:
            self.without_end(node, "never ran", _ENDED)
