"""Hooks of the process that talks to the user: header, readiness, counting, verdict, exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.errors import SandboxError
from pytest_gaia.report import footer, members
from pytest_gaia.run.readiness import probe_members
from pytest_gaia.run.workers import mistake_of
from pytest_gaia.verdict import outcomes as words
from pytest_gaia.verdict.defects import load_defects
from pytest_gaia.verdict.outcomes import Outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _pytest.terminal import TerminalReporter

    from pytest_gaia.run.session import Run

_LETTERS = {words.NOT_APPLICABLE: "n", words.KNOWN_DEFECT: "d"}


class ControllerHooks:
    """Registered once a run: on xdist's controller, or in the one process of a run without workers."""

    def __init__(self, run: Run, config: pytest.Config) -> None:
        self.run = run
        self.config = config
        self.outcomes = Outcomes()
        self.started = False
        self.mistake: str | None = None

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
        # xdist's controller collects nothing itself; a run without workers that selected nothing has nothing to wait for.
        if self.config.option.collectonly or not (self._distributes() or session.items):
            return None
        self.started = True
        problem = self._not_ready()
        if problem:
            self.outcomes.unavailable = True
            self._write(problem, red=True)
            return True
        return None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count what every test came to, wherever it ran."""
        outcome = getattr(report, "gaia_outcome", None)
        if outcome:
            self.outcomes.add(outcome, reason=getattr(report, "gaia_reason", ""))
        elif report.failed:
            self.outcomes.add(words.FAILED if report.when in ("call", "???") else words.ERROR)
        elif report.skipped:
            self.outcomes.add(words.SKIPPED)
        elif report.passed and report.when == "call":
            self.outcomes.add(words.PASSED)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be collected is evidence that is missing."""
        if report.failed:
            self.outcomes.add(words.ERROR)

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Show an outcome of ours by its own name."""
        outcome = getattr(report, "gaia_outcome", None)
        return (outcome, _LETTERS[outcome], outcome.upper()) if outcome else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker may have found the user's mistake; all workers find the same one."""
        self.mistake = self.mistake or mistake_of(node)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Turn a run without evidence, or without an environment, into an exit code that says so."""
        if self.mistake:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
            return
        verdict = self.outcomes.verdict
        ran = self.started and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if self.outcomes.unavailable or (ran and exitstatus == pytest.ExitCode.OK and verdict.exit_code):
            session.exitstatus = verdict.exit_code

    def pytest_terminal_summary(self) -> None:
        """Print the verdict last, and before it what it rests on."""
        if self.mistake:
            self._write([f"ERROR: {self.mistake}"], red=True)
        if self.mistake or not self.started:
            return
        if self.config.get_verbosity() >= 0:
            self._write(footer.notes(self.outcomes, load_defects(self.run.roots)))
        verdict = self.outcomes.verdict
        self._write([footer.verdict_line(self.run.declared, self.outcomes)], red=verdict.exit_code != 0)

    def _not_ready(self) -> list[str]:
        """Wait for the environment; return the message for the user if it does not come."""
        try:
            environment = self.run.environment
        except SandboxError as error:
            return [f"gaia: the sandbox did not start; no test was run.\n{error}"]
        deadline = environment.timeouts.ready
        stopped = self.run.options.sandbox_without
        states = probe_members(environment, deadline=deadline, stopped=stopped, waiting=self._show_waiting)
        if self.config.get_verbosity() >= 0:
            self._write(members.member_table(environment, states))
        if any(not state.reachable and state.member in environment.required for state in states):
            return members.unreachable(environment, states, deadline)
        return []

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
