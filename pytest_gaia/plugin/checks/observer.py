"""Hooks of the controller process that collect one record per test, from workers and from this process."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from pytest_gaia.plugin.checks.phases import skip_reason
from pytest_gaia.plugin.checks.scope import Scope
from pytest_gaia.run.workers import (
    CANCELLED,
    DESELECTED,
    LATE,
    LEFT_OUT,
    UNCOLLECTED,
    network_of_worker,
    nodes_of,
    reduced_of_worker,
    usage_error_of,
)
from pytest_gaia.verdict.gathering import Assembly

_RETRIED = "rerun"
"""the outcome by which pytest-rerunfailures announces another attempt"""
_CRASH = "???"
"""the phase in a report for a crashed worker"""


class ObserverHooks:
    """Registered once a run: on xdist's controller, or in the one process of a run without workers."""

    def __init__(self, assembly: Assembly, redact: Callable[[str], str], scope: Scope) -> None:
        self.assembly = assembly
        self._redact = redact
        self.scope = scope
        self.deselected: set[str] = set()
        self.taken_out: set[str] = set()
        """tests that a hook removed without reporting it"""
        self.uncollected: set[str] = set()
        """test files that were not read"""
        self.reduced: dict[str, tuple[int, int]] = {}
        """service → limit of requests in flight before and after the responses of 429 to workers"""
        self.network: list[dict[str, Any]] = []
        """what the network guards of workers have found"""
        self.cancelled: list[str] = []
        """tests that had begun when the run ended before their turn"""
        self.late: list[str] = []
        """failures in workers that belong to no test"""
        self.lost: list[str] = []
        """workers that crashed"""
        self.usage_error: str | None = None
        """a usage error from a worker; all workers find the same one"""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Plan the selected tests of a run without workers."""
        self.assembly.plan(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Plan the selected tests of a run with workers."""
        self.assembly.plan(ids)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Note the deselected tests of a run without workers."""
        self._deselect(item.nodeid for item in items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take over the results of a worker that exits."""
        self.usage_error = self.usage_error or usage_error_of(node)
        for service, (before, after) in reduced_of_worker(node).items():
            self.reduced[service] = (before, min(after, self.reduced.get(service, (before, after))[1]))
        self.network += filter(None, [network_of_worker(node)])
        self.left_out(nodes_of(node, LEFT_OUT))
        self.cancelled += nodes_of(node, CANCELLED)
        self.late += nodes_of(node, LATE)
        self.uncollected.update(nodes_of(node, UNCOLLECTED))
        if error is not None:
            self.lost.append(f"worker {node.gateway.id}")
        self._deselect(nodes_of(node, DESELECTED))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that cannot be collected or skips itself."""
        if not report.passed:
            reason = skip_reason(report) if report.skipped else report.longreprtext
            self.assembly.not_collected(report.nodeid, self._redact(reason), skipped=report.skipped)

    def left_out(self, nodes: Sequence[str]) -> None:
        """Note tests that a hook removed after collection without reporting it."""
        self.taken_out.update(nodes)
        for node in nodes:
            self.assembly.without_end(node, "never ran", "a hook removed it after collection")

    def partial(self) -> tuple[str, ...]:
        """Return what the run left out of the suites, one sentence each; empty for a full run."""
        left_out = self.scope.left_out(
            planned=len(self.assembly.planned),
            deselected=len(self.deselected),
            taken_out=len(self.taken_out),
            uncollected=sorted(self.uncollected),
        )
        return tuple(map(self._redact, left_out))

    def _deselect(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            self.deselected.add(node)
            self.assembly.without_end(node, "deselected")


class ReportHooks:
    """Registered on xdist's controller, which receives results with the reports of its workers.

    A crashed worker sends neither output nor results, so these reports are the only source.
    """

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self._retried: set[tuple[str, str]] = set()
        """(test, worker) pairs that will have another attempt"""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the results from the report of a test's last phase; a crashed worker sends none."""
        # Removed from the report, because the terminal keeps every report until the end.
        evidence: dict[str, Any] | None = vars(report).pop("gaia_test", None)
        if evidence is None and report.when not in (_CRASH, "setup") and report.outcome != _RETRIED:
            return
        worker = _worker(report)
        self._assembly.begun_elsewhere(report.nodeid, worker)
        if report.when == _CRASH:
            self._assembly.crashed(report.nodeid, report.longreprtext, worker)
            return
        if report.outcome == _RETRIED:
            self._retried.add((report.nodeid, worker))
        if evidence is None:
            return
        if (report.nodeid, worker) in self._retried:
            # The results of the next attempt contain the failures of this one.
            self._retried.remove((report.nodeid, worker))
            return
        self._assembly.complete_elsewhere(evidence, worker)


def _worker(report: pytest.TestReport) -> str:
    node = getattr(report, "node", None)
    return node.gateway.id if node is not None else "main"
