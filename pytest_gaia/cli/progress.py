"""Showing a roll-out while it runs: live on a terminal, plain lines everywhere else; always on standard error."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from pytest_gaia.cli.pipes import reader_may_leave
from pytest_gaia.cli.tables import console
from pytest_gaia.rollout.model import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import TaskID

    from pytest_gaia.rollout.model import Rollout, StepResult

_DOING = {"deploy": "deploying", "rollback": "rolling back"}
_WIDEST = 90
"""characters of a tool's line that a terminal shows"""


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Give what shows a roll-out here."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield PlainProgress()
        return
    live = LiveProgress()
    with live.display:
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
        from rich.progress import Progress as Display
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        # rich leaves colours out where NO_COLOR is set, but not bold type.
        name = "none" if os.environ.get("NO_COLOR") else "bold"
        self.display = Display(
            SpinnerColumn("line", finished_text=" "),
            TextColumn("{task.fields[service]}", style=name, markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.description}", style="none", markup=False),
            console=console(err=True),
        )
        self._tasks: dict[str, TaskID] = {}

    def begun(self, rollout: Rollout) -> None:
        """Show every service, waiting for its turn."""
        self.display.console.print(f"{rollout.environment}: {_DOING[rollout.action]}", markup=False)
        width = max(len(step.service) for step in rollout.steps)
        for step in rollout.steps:
            name = step.service.ljust(width)
            task = self.display.add_task("waits for its turn", total=1, start=False, service=name)
            self._tasks[step.service] = task

    def waiting(self, service: str, text: str) -> None:
        """Show it in the line of the service, whose clock starts with the first."""
        if (task := self._tasks.get(service)) is not None:
            self.display.start_task(task)
            self.display.update(task, description=_cut(text))

    def line(self, service: str, text: str) -> None:
        """Show it until the next one comes."""
        if text.strip():
            self.waiting(service, text.strip())

    def ended(self, step: StepResult) -> None:
        """Stop the clock of the service."""
        if (task := self._tasks.get(step.service)) is not None:
            self.display.update(task, description=_cut(ending(step)), completed=1)
            self.display.stop_task(task)

    def note(self, text: str) -> None:
        """Show it above."""
        self.display.console.print(f"note: {text}", markup=False)


def ending(step: StepResult) -> str:
    """Return what became of a service, in one line."""
    outcome = step.outcome.replace("_", " ")
    release = f", release {step.release}" if step.release and step.good else ""
    return f"{outcome}{release}" + (f": {step.reason}" if step.reason else "")


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
