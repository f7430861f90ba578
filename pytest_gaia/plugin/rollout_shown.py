"""A roll-out on pytest's terminal, while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.plugin.waiting import begin_line, show_for_a_moment, take_away
from pytest_gaia.report.deployed import ending
from pytest_gaia.rollout.model import Progress

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_gaia.rollout.model import Rollout, StepResult


class TerminalProgress(Progress):
    """One line a service. What it waits for is shown for a moment on a terminal; the tool's lines stay with ``-v``."""

    def __init__(self, terminal: TerminalReporter | None, hook: str) -> None:
        self._terminal = terminal
        self._hook = hook
        self._rewritten = False

    def begun(self, rollout: Rollout) -> None:
        """Say what is going to be done."""
        names = ", ".join(step.service for step in rollout.steps)
        self._say(f"gaia: deploying {names} to {rollout.environment} with {self._hook}")

    def waiting(self, service: str, text: str) -> None:
        """Show it for a moment."""
        if self._terminal is not None and self._terminal.isatty:
            if not self._rewritten:
                begin_line(self._terminal)
            show_for_a_moment(self._terminal, f"  {service}: {text}")
            self._rewritten = True

    def line(self, service: str, text: str) -> None:
        """Keep it where much is asked for; otherwise show it for a moment."""
        if self._terminal is not None and self._terminal.verbosity > 0 and text.strip():
            self._say(f"  {service} | {text}")
        elif text.strip():
            self.waiting(service, text.strip())

    def ended(self, step: StepResult) -> None:
        """Say what became of it."""
        self._say(ending(step))

    def note(self, text: str) -> None:
        """Pass it on."""
        self._say(f"gaia: note: {text}")

    def _say(self, text: str) -> None:
        if self._terminal is None:
            return
        if self._rewritten:
            take_away(self._terminal)
            self._rewritten = False
        else:
            self._terminal.ensure_newline()
        self._terminal.write_line(text)
