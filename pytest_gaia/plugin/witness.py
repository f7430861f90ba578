"""Hooks of the process that talks to the user: what every test came to, wherever it ran, becomes one record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.run.workers import deselected_of, mistake_of
from pytest_gaia.verdict.assembly import Assembly

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_gaia.verdict.evidence import TestRecord

_LETTERS = {"not applicable": "n", "expected failure": "e", "tolerated": "t", "unexpected pass": "U"}
_CRASH = "???"
"""what a report says of its phase when the worker ended that should have written it"""


class WitnessHooks:
    """Registered once a run: on xdist's controller, or in the one process of a run without workers.

    A worker that crashes sends neither its output nor a report of its own, so everything is taken from the reports that
    arrive here.
    """

    def __init__(self, sink: Callable[[TestRecord], None]) -> None:
        self.assembly = Assembly(sink)
        self.deselected = False
        self.mistake: str | None = None
        """the user's mistake that a worker found; all workers find the same one"""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """A run without workers: these tests are selected."""
        self.assembly.plan(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """A run with workers: these tests are selected."""
        self.assembly.plan(ids)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """A run without workers: these tests were collected, and left out by the user."""
        self.deselected = self.deselected or bool(items)
        for item in items:
            self.assembly.without_end(item.nodeid, "deselected")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker that ends in order says what it knows."""
        self.mistake = self.mistake or mistake_of(node)
        for nodeid in deselected_of(node):
            self.deselected = True
            self.assembly.without_end(nodeid, "deselected")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be collected is evidence that is missing."""
        if report.failed:
            self.assembly.without_end(report.nodeid, "not collected", report.longreprtext)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The evidence comes with the last phase of a test; a worker that ends sends none."""
        evidence = getattr(report, "gaia_test", None)
        if evidence is not None:
            self.assembly.complete(report.nodeid, evidence, _worker(report))
        elif report.when == _CRASH:
            self.assembly.without_end(report.nodeid, "crashed", report.longreprtext, _worker(report))

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Show an outcome of ours by its own name."""
        outcome = getattr(report, "gaia_outcome", None)
        # A test that does not apply, or fails as expected, still passes its other phases.
        return (outcome, _LETTERS[outcome], outcome.upper()) if outcome else None


def _worker(report: pytest.TestReport) -> str:
    node = getattr(report, "node", None)
    return node.gateway.id if node is not None else "main"
