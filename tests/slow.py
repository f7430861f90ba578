"""Slow tests, which only ``make test-all`` runs: tests with the mark ``slow``, which names their kind."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _pytest.mark import ParameterSet

KINDS = {
    "walk": "a release through all stages, with a process for every step",
    "workers": "runs with workers; each worker is a process",
    "sandbox": "separate sandboxes: cold starts, failures, cleaning up",
    "suites": "whole suites of this repository, in a process",
    "processes": "whole commands as processes, interrupted and resumed; runs for Allure; ci.cases",
    "projects": "other projects, or this one installed from its package",
    "servers": "servers that start slowly: RabbitMQ",
    "docker": "deployments on a real Docker engine, and the commands that look at them",
    "browser": "pages in Chromium, and the runs that create them",
    "matrix": "further combinations of a test that `make test` runs once",
}
_SKIPPED: Counter[str] = Counter()


def with_workers(*arguments: str) -> ParameterSet:
    """Return arguments of a run with workers, as a slow parameter."""
    return pytest.param(arguments, marks=pytest.mark.slow("workers"))


def in_full(*values: object, id: str | None = None) -> ParameterSet:  # noqa: A002 - pytest's own name
    """Return a parameter of a matrix that only ``make test-all`` runs."""
    return pytest.param(*values, id=id, marks=pytest.mark.slow("matrix"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse unknown kinds. Run the longest tests first, because other workers would wait for them at the end."""
    unknown = {kind for item in items for kind in _kinds(item)} - {*KINDS}
    if unknown:
        raise pytest.UsageError(f"tests/slow.py does not define the kind {', '.join(sorted(unknown))}")
    items.sort(key=lambda item: "walk" not in _kinds(item))


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Count the skipped tests."""
    _SKIPPED.update(kind for item in items for kind in _kinds(item)[:1])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the count of a worker to the controller."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["skipped slow tests"] = dict(_SKIPPED)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Use the count of a worker; all workers count the same tests."""
    _SKIPPED.update(Counter(getattr(node, "workeroutput", {}).get("skipped slow tests", {})) - _SKIPPED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the count."""
    if _SKIPPED and terminalreporter.config.getoption("markexpr") == "not slow":
        kinds = ", ".join(f"{kind} {number}" for kind, number in _SKIPPED.most_common())
        terminalreporter.write_line(f"Skipped {_SKIPPED.total()} slow tests ({kinds}). Run them with `make test-all`.")


def _kinds(item: pytest.Item) -> list[str]:
    return [mark.args[0] for mark in item.iter_markers("slow")]
