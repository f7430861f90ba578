"""Hooks of the process that talks to the user: header, readiness, verdict, exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.errors import SandboxError
from pytest_gaia.plugin.ending import VERDICT
from pytest_gaia.plugin.signs import only_looks
from pytest_gaia.report import footer, members
from pytest_gaia.run.capabilities import observe
from pytest_gaia.run.readiness import probe_members
from pytest_gaia.run.settling import demand_of
from pytest_gaia.run.watching import look_again

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from _pytest.terminal import TerminalReporter

    from pytest_gaia.plugin.result import Result
    from pytest_gaia.plugin.witness import WitnessHooks
    from pytest_gaia.run.readiness import MemberState
    from pytest_gaia.run.session import Run


_CUT_SHORT = (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR)
"""ends of a run that hold anyway, and after which nobody wants to wait"""


class ControllerHooks:
    """Registered once a run: on xdist's controller, or in the one process of a run without workers."""

    def __init__(self, run: Run, result: Result, witness: WitnessHooks, config: pytest.Config) -> None:
        self.run = run
        self.result = result
        self.witness = witness
        self.config = config
        self._shown = False
        self._met: tuple[MemberState, ...] = ()
        """what the members were before the first test; empty where none was run"""
        self._noted: tuple[str, ...] = ()
        """what was seen at the end, and is no reason for a verdict"""

    @property
    def terminal(self) -> TerminalReporter | None:
        """pytest's terminal, unless it is switched off."""
        return self.config.pluginmanager.get_plugin("terminalreporter")

    def pytest_report_header(self) -> list[str]:
        """Say which environment this is before anything is collected."""
        return members.header(self.run.declared)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Between collection and the first test: is the environment there? If not, no test is run."""
        if only_looks(self.config.option):
            return None
        # xdist's controller collects nothing itself; a run without workers that selected nothing has nothing to wait for.
        if not (self._distributes() or session.items):
            return None
        if problem := self._not_ready():
            self._write(problem, red=True)
            return True
        return None

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Judge what was recorded, write it down, and end with the verdict's exit code, whatever other hooks do."""
        try:
            return (yield)
        finally:
            if self.witness.mistake:
                session.exitstatus = pytest.ExitCode.USAGE_ERROR
            elif not only_looks(self.config.option):
                session.exitstatus = self.config.stash[VERDICT] = self._judged(int(session.exitstatus))

    def pytest_terminal_summary(self) -> None:
        """Print the verdict last, and before it what it rests on."""
        self._shown = True
        if self.witness.mistake:
            self._write([f"ERROR: {self.witness.mistake}"], red=True)
            return
        judged = self.result.judged
        if judged is None:
            return
        self._write(footer.gating(judged, shown=self._failures()))
        if self.config.get_verbosity() >= 0:
            self._write([*footer.notes(judged), *(f"gaia: {sentence}" for sentence in self._noted)])
        self._write([f"ERROR: {message}" for message in self.result.unwritten], red=True)
        self._write([footer.verdict_line(self.run.declared.label, judged)], red=judged.verdict.exit_code != 0)

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        """pytest has no summary after an internal error, nor where a hook has ended the run: show the verdict here."""
        if not self._shown:
            self.pytest_terminal_summary()

    def _failures(self) -> frozenset[str]:
        """The tests that pytest itself has shown to fail; a skip or a retry gates without a word of pytest's."""
        stats = self.terminal.stats if self.terminal is not None else {}
        return frozenset(report.nodeid for kind in ("failed", "error") for report in stats.get(kind, ()))

    def _judged(self, exitstatus: int) -> int:
        self.witness.assembly.finish()
        self._look_again(exitstatus)
        witness = self.witness
        planned = len(witness.assembly.planned)
        return self.result.close(exitstatus, planned, deselected=witness.deselected, lost=witness.lost)

    def _not_ready(self) -> list[str]:
        """Wait for the environment; return the message for the user if it does not come."""
        try:
            environment = self.run.environment
        except SandboxError as error:
            self.result.unavailable = "the sandbox did not start"
            return ["gaia: the sandbox did not start; no test was run.", str(error)]
        deadline = environment.timeouts.ready
        states = probe_members(
            environment,
            deadline=deadline,
            demand=demand_of(environment),
            stopped=self.run.options.sandbox_without,
            waiting=self._show_waiting,
        )
        if self.config.get_verbosity() >= 0:
            self._write(members.member_table(environment, states))
        missing = members.missing(environment, states)
        if missing:
            self.result.unavailable = members.reasons(missing)
        else:
            self.run.handoff.write(observe(environment, states))
            self._met = states
        self.result.begin(environment, states)
        return members.not_ready(environment, missing, deadline) if missing else []

    def _look_again(self, exitstatus: int) -> None:
        """Ask at the end who is still there. The sandbox belongs to this run alone; nobody else can change it."""
        if not self._met or self.run.declared.sandbox or exitstatus in _CUT_SHORT:
            return
        environment = self.run.environment
        try:
            ending = look_again(environment, self._met, deadline=environment.timeouts.ready, waiting=self._show_waiting)
        except KeyboardInterrupt:
            self.result.changed = ("the last look at the environment was interrupted",)
            return
        self.result.unavailable = "; ".join(ending.gone)
        self.result.changed = ending.changed
        self._noted = ending.noted

    def _show_waiting(self, pending: tuple[str, ...]) -> None:
        if self.terminal is not None and self.terminal.isatty:
            self.terminal.rewrite(f"gaia: waiting for {', '.join(pending)} …", erase=True)

    def _distributes(self) -> bool:
        return bool(getattr(self.config.option, "numprocesses", None) or getattr(self.config.option, "tx", None))

    def _write(self, lines: Sequence[str], *, red: bool = False) -> None:
        if self.terminal is not None:
            self.terminal.ensure_newline()
            for line in lines:
                self.terminal.write_line(line, red=red)
