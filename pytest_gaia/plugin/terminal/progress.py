"""Progress of a run: brief lines on a terminal, plain lines elsewhere."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from pytest_gaia.plugin.pytest_private import line_is_empty
from pytest_gaia.report.layout import NARROWEST, cut, wrapped
from pytest_gaia.wording import counted

_WORTH_A_LINE = 1.0
"""seconds of waiting after which a line is printed without a terminal"""


def begin_line(terminal: pytest.TerminalReporter) -> None:
    """End a line that other code has started, such as dots of xdist."""
    terminal.ensure_newline()
    if terminal.config.get_terminal_writer().width_of_current_line:
        terminal.write("\n")


def write(terminal: pytest.TerminalReporter, lines: Sequence[str], *, red: bool = False) -> None:
    """Write ``lines``, starting on a new line."""
    if lines:
        begin_line(terminal)
    for line in lines:
        terminal.write_line(line, red=red)


def show_briefly(terminal: pytest.TerminalReporter, text: str) -> None:
    """Show ``text`` in a line that the next one replaces."""
    terminal.rewrite(cut(text, terminal.config.get_terminal_writer().fullwidth - 1), erase=True)


def erase_line(terminal: pytest.TerminalReporter) -> None:
    """Erase such a line."""
    terminal.rewrite("", erase=True)
    terminal.write("\r")
    line_is_empty(terminal)


class Waiting:
    """Context that shows what a run waits for. Call it about five times a second with the pending names."""

    def __init__(self, terminal: pytest.TerminalReporter | None, purpose: str, deadline: float) -> None:
        """``deadline`` is in seconds from now; ``purpose`` is shown first."""
        self._terminal = terminal
        self._purpose = purpose
        self._deadline = deadline
        self._began = time.monotonic()
        self._shown = self._server_info = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal is None:
            return
        if self._shown:
            erase_line(self._terminal)
        elif self._server_info:
            self._terminal.write_line(f"gaia: {self._purpose}: took {self._elapsed:.1f} s")

    def __call__(self, pending: tuple[str, ...] = ()) -> None:
        """Show ``pending``, the elapsed time and the time limit."""
        if self._terminal is None:
            return
        what = f"{self._purpose}: waiting for {', '.join(pending)}" if pending else self._purpose
        if self._terminal.isatty():
            if not self._shown:
                begin_line(self._terminal)
                self._shown = True
            show_briefly(self._terminal, f"gaia: {what} … {self._elapsed:.0f} s of {self._deadline:g} s")
        elif not self._server_info and self._elapsed > _WORTH_A_LINE and self._terminal.verbosity >= 0:
            begin_line(self._terminal)
            self._terminal.write_line(f"gaia: {what}, at most {self._deadline:g} s", flush=True)
            self._server_info = True

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._began


class SuiteAnnouncer:
    """Prints the number of selected tests by suite."""

    def __init__(self, config: pytest.Config, roots: Sequence[Path]) -> None:
        self._config = config
        self._roots = roots
        self._server_info = False

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Print the tests of a run with workers, which all collect the same."""
        self.begin(ids)

    def begin(self, nodes: Iterable[str]) -> None:
        """Print the number of tests by suite; nothing if no test is in a suite."""
        terminal: pytest.TerminalReporter | None = self._config.pluginmanager.get_plugin("terminalreporter")
        if self._server_info or terminal is None or terminal.verbosity < 0:
            return
        suites = by_suite(nodes, self._roots, self._config.rootpath)
        if not suites:
            return
        self._server_info = True
        begin_line(terminal)
        for line in plan_lines(suites, max(NARROWEST, self._config.get_terminal_writer().fullwidth)):
            terminal.write_line(line)
        if terminal.verbosity > 0 and len(suites) > 1:
            self._config.pluginmanager.register(SuiteCounter(terminal, suites, self._suite_of), "gaia-suites-done")

    def _suite_of(self, node: str) -> str | None:
        return next(iter(by_suite([node], self._roots, self._config.rootpath)), None)


class SuiteCounter:
    """Prints a line at the end of each suite, with ``-v``."""

    def __init__(
        self, terminal: pytest.TerminalReporter, suites: Counter[str], suite_of: Callable[[str], str | None]
    ) -> None:
        self._terminal = terminal
        self._planned = suites
        self._left = Counter(suites)
        self._suite_of = suite_of

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Count a test; print a line after the last one of a suite."""
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
    """Return suite → number of tests, of tests in suites."""
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
    """Return the lines about selected tests, in at most ``width`` columns."""
    each = ", ".join(f"{name} {count}" for name, count in sorted(suites.items()))
    return wrapped(
        f"gaia: selected {counted(suites.total(), 'test')} of {counted(len(suites), 'suite')}: {each}", width, hanging=2
    )
