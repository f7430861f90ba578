"""Showing a roll-out while it runs: live on a terminal, plain lines everywhere else; always on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from pytest_gaia.cli.output import reader_may_leave
from pytest_gaia.rollout.model import Progress, Rollout, StepResult

_DOING = {"deploy": "deploying", "rollback": "rolling back"}


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Give what shows a roll-out here."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield PlainProgress()
        return
    live = LiveProgress()
    with live.lines.display:
        yield live


class PlainProgress(Progress):
    """One line for each thing that happens, and every line of the tool."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def begun(self, rollout: Rollout) -> None:
        """Say what is going to be done."""
        names = ", ".join(step.service for step in rollout.steps)
        self._say(f"{rollout.environment}: {_DOING[rollout.action]} {names}")

    def waiting(self, service: str, text: str) -> None:
        """Say it once, however often it is told."""
        if self._last.get(service) != text:
            self._last[service] = text
            self._say(f"{service}: {text}")

    def line(self, service: str, text: str) -> None:
        """Pass it on."""
        if text.strip():
            self._say(f"{service} | {text}")

    def ended(self, step: StepResult) -> None:
        """Say what became of it."""
        self._say(f"{step.service}: {ending(step)}")

    def note(self, text: str) -> None:
        """Pass it on."""
        self._say(f"note: {text}")

    @staticmethod
    def _say(text: str) -> None:
        with reader_may_leave(sys.stderr):
            typer.echo(text, err=True)


class LiveProgress(Progress):
    """One line for each service: what is done, or waited for, and for how long."""

    def __init__(self) -> None:
        from pytest_gaia.cli.terminal import Lines

        self.lines = Lines()

    def begun(self, rollout: Rollout) -> None:
        """Show every service, waiting for its turn."""
        self.lines.above(f"{rollout.environment}: {_DOING[rollout.action]}")
        self.lines.add([step.service for step in rollout.steps], "waits for its turn")

    def waiting(self, service: str, text: str) -> None:
        """Show it in the line of the service, whose clock starts with the first."""
        self.lines.update(service, text)

    def line(self, service: str, text: str) -> None:
        """Show it until the next one comes."""
        if text.strip():
            self.waiting(service, text.strip())

    def ended(self, step: StepResult) -> None:
        """Stop the clock of the service."""
        self.lines.end(step.service, ending(step))

    def note(self, text: str) -> None:
        """Show it above."""
        self.lines.above(f"note: {text}")


def ending(step: StepResult) -> str:
    """Return what became of a service, in one line."""
    outcome = step.outcome.replace("_", " ")
    release = f", release {step.release}" if step.release and step.good else ""
    return f"{outcome}{release}" + (f": {step.reason}" if step.reason else "")
