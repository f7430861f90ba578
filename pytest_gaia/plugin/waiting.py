"""What a run waits for, shown while it waits: for a moment on a terminal, in plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from pytest_gaia.report.layout import cut

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from _pytest.terminal import TerminalReporter

_WORTH_A_LINE = 1.0
"""seconds of waiting from which on it is told where lines stay"""


def begin_line(terminal: TerminalReporter) -> None:
    """End the line that something else has begun: dots of xdist, a line that pytest rewrites."""
    terminal.ensure_newline()
    if terminal.config.get_terminal_writer().width_of_current_line:
        terminal.write("\n")


def write(terminal: TerminalReporter, lines: Sequence[str], *, red: bool = False) -> None:
    """Write ``lines``, the first of them at the beginning of a line."""
    if lines:
        begin_line(terminal)
    for line in lines:
        terminal.write_line(line, red=red)


def show_for_a_moment(terminal: TerminalReporter, text: str) -> None:
    """Show ``text`` in one line, which the next one replaces."""
    terminal.rewrite(cut(text, terminal.config.get_terminal_writer().fullwidth - 1), erase=True)


def take_away(terminal: TerminalReporter) -> None:
    """Take such a line away, and stay at its beginning."""
    terminal.rewrite("", erase=True)
    terminal.write("\r")
    # pytest counts what was written since the last line break, as if nothing had been taken away.
    terminal.config.get_terminal_writer()._current_line = ""  # noqa: SLF001 - it has no other way to say so


class Waiting:
    """One waiting, as a context. Call it about five times a second with what has not come yet."""

    def __init__(self, terminal: TerminalReporter | None, purpose: str, deadline: float) -> None:
        """``deadline`` is in seconds from now; ``purpose`` says what all of it is for."""
        self._terminal = terminal
        self._purpose = purpose
        self._deadline = deadline
        self._began = time.monotonic()
        self._shown = self._told = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal is None:
            return
        if self._shown:
            take_away(self._terminal)
        elif self._told:
            self._terminal.write_line(f"gaia: {self._purpose}: waited {self._elapsed:.1f} s")

    def __call__(self, pending: tuple[str, ...] = ()) -> None:
        """Show what is ``pending``, for how long it has been waited for, and how long that may take."""
        if self._terminal is None:
            return
        what = f"{self._purpose}: waiting for {', '.join(pending)}" if pending else self._purpose
        if self._terminal.isatty():
            if not self._shown:
                begin_line(self._terminal)
                self._shown = True
            show_for_a_moment(self._terminal, f"gaia: {what} … {self._elapsed:.0f} s of {self._deadline:g} s")
        elif not self._told and self._elapsed > _WORTH_A_LINE and self._terminal.verbosity >= 0:
            begin_line(self._terminal)
            self._terminal.write_line(f"gaia: {what}, at most {self._deadline:g} s", flush=True)
            self._told = True

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._began
