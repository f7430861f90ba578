"""Which suites are run, and how far: one line before the first test, and with ``-v`` one at the end of each suite."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.plugin.waiting import begin_line
from pytest_gaia.report.layout import NARROWEST, wrapped
from pytest_gaia.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from _pytest.terminal import TerminalReporter


class SuitesBegun:
    """Registered where the user is. It hears of every collected test once, and of none that is run."""

    def __init__(self, config: pytest.Config, roots: Sequence[Path]) -> None:
        self._config = config
        self._roots = roots
        self._told = False

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """A run with workers: all of them have collected the same."""
        self.begin(ids)

    def begin(self, nodes: Iterable[str]) -> None:
        """Say what is going to be run. Outside of all suites there is nothing to say."""
        terminal: TerminalReporter | None = self._config.pluginmanager.get_plugin("terminalreporter")
        if self._told or terminal is None or terminal.verbosity < 0:
            return
        suites = by_suite(nodes, self._roots, self._config.rootpath)
        if not suites:
            return
        self._told = True
        begin_line(terminal)
        for line in plan_lines(suites, max(NARROWEST, self._config.get_terminal_writer().fullwidth)):
            terminal.write_line(line)
        if terminal.verbosity > 0 and len(suites) > 1:
            self._config.pluginmanager.register(SuitesDone(terminal, suites, self._suite_of), "gaia-suites-done")

    def _suite_of(self, node: str) -> str | None:
        return next(iter(by_suite([node], self._roots, self._config.rootpath)), None)


class SuitesDone:
    """Registered with ``-v``, where every test has a line of its own anyway."""

    def __init__(self, terminal: TerminalReporter, suites: Counter[str], suite_of: Callable[[str], str | None]) -> None:
        self._terminal = terminal
        self._planned = suites
        self._left = Counter(suites)
        self._suite_of = suite_of

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Count a test, wherever it ran; say so where it was the last one of its suite."""
        suite = self._suite_of(nodeid)
        if suite is None:
            return
        self._left[suite] -= 1
        if self._left[suite] == 0:
            done = sum(count <= 0 for count in self._left.values())
            self._terminal.write_line(
                f"gaia: suite {suite} is done: {counted(self._planned[suite], 'test')}; {done} of {len(self._planned)} suites"
            )


def by_suite(nodes: Iterable[str], roots: Sequence[Path], rootpath: Path) -> Counter[str]:
    """Suite → tests, of the tests that are in a suite."""
    files = Counter(node.partition("::")[0] for node in nodes)
    suites: Counter[str] = Counter()
    for file, count in files.items():
        path = rootpath / file
        root = next((root for root in roots if root in path.parents), None)
        parts = path.relative_to(root).parts if root else ()
        if len(parts) > 1:
            suites[parts[0]] += count
    return suites


def plan_lines(suites: Counter[str], width: int) -> list[str]:
    """Return what is going to be run, in at most ``width`` columns."""
    each = ", ".join(f"{name} {count}" for name, count in sorted(suites.items()))
    return wrapped(
        f"gaia: selected {counted(suites.total(), 'test')} of {counted(len(suites), 'suite')}: {each}", width, hanging=2
    )
