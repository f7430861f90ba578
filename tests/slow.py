"""What ``make test`` leaves out and ``make test-all`` runs: tests with the mark ``slow``, which names their kind."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _pytest.mark import ParameterSet

KINDS = {
    "walk": "a change through all stages, every step a process",
    "workers": "runs with workers, each of which is a process",
    "sandbox": "sandboxes of their own: cold starts, failures, what is left behind",
    "suites": "whole suites of this repository, run as a process",
    "processes": "whole commands as processes, ended and begun again; runs for Allure; ci.cases",
    "projects": "projects of others, or this one as it is installed",
    "browser": "pages opened in Chromium, and the runs that make them",
    "matrix": "further combinations of what one test runs in the quick run as well",
}
_LEFT_OUT: Counter[str] = Counter()


def with_workers(*arguments: str) -> ParameterSet:
    """Arguments of a run with workers, as a parameter that is slow."""
    return pytest.param(arguments, marks=pytest.mark.slow("workers"))


def in_full(*values: object, id: str | None = None) -> ParameterSet:  # noqa: A002 - pytest's own name
    """A parameter of a matrix that ``make test`` leaves out."""
    return pytest.param(*values, id=id, marks=pytest.mark.slow("matrix"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse kinds that nobody knows. The longest tests come first: as the last ones, they would have all but one worker wait."""
    unknown = {kind for item in items for kind in _kinds(item)} - {*KINDS}
    if unknown:
        raise pytest.UsageError(f"tests/slow.py knows no slow tests of the kind {', '.join(sorted(unknown))}")
    items.sort(key=lambda item: "walk" not in _kinds(item))


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Count what is left out."""
    _LEFT_OUT.update(kind for item in items for kind in _kinds(item)[:1])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a worker say what it has counted."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left out"] = dict(_LEFT_OUT)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take over what a worker has counted; all of them count the same."""
    _LEFT_OUT.update(Counter(getattr(node, "workeroutput", {}).get("left out", {})) - _LEFT_OUT)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out."""
    if _LEFT_OUT and terminalreporter.config.getoption("markexpr") == "not slow":
        kinds = ", ".join(f"{kind} {number}" for kind, number in _LEFT_OUT.most_common())
        terminalreporter.write_line(
            f"Left out: {_LEFT_OUT.total()} slow tests ({kinds}). `make test-all` runs them too."
        )


def _kinds(item: pytest.Item) -> list[str]:
    return [mark.args[0] for mark in item.iter_markers("slow")]
