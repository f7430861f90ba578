"""Hooks of the process that talks to the user: header, readiness, verdict, exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.errors import ConfigError, DeployLocked, SandboxError
from pytest_gaia.plugin.ending import VERDICT
from pytest_gaia.plugin.rollout_shown import write
from pytest_gaia.plugin.signs import only_looks
from pytest_gaia.report import footer, members
from pytest_gaia.run.capabilities import observe
from pytest_gaia.run.readiness import probe_members
from pytest_gaia.run.settling import demand_of
from pytest_gaia.run.watching import look_again
from pytest_gaia.run.workers import hold_back

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from _pytest.terminal import TerminalReporter

    from pytest_gaia.errors import GaiaError
    from pytest_gaia.plugin.deployment import Deployment
    from pytest_gaia.plugin.result import Result
    from pytest_gaia.plugin.witness import WitnessHooks
    from pytest_gaia.run.readiness import MemberState
    from pytest_gaia.run.session import Run


_CUT_SHORT = (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR)
"""ends of a run that hold anyway, and after which nobody wants to wait"""


class ControllerHooks:
    """Registered once a run: on xdist's controller, or in the one process of a run without workers."""

    def __init__(
        self,
        run: Run,
        result: Result,
        witness: WitnessHooks,
        config: pytest.Config,
        deployment: Deployment | None = None,
    ) -> None:
        self.run = run
        self.result = result
        self.witness = witness
        self.config = config
        self.deployment = deployment
        self._deploys = deployment is not None and deployment.asked
        self._refused: GaiaError | None = None
        """why nothing was deployed, where that is the user's to mend"""
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
        return [*members.header(self.run.declared), *(self.deployment.header() if self.deployment else ())]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Between collection and the first test: is the environment there? If not, no test is run."""
        if only_looks(self.config.option):
            return None
        # xdist's controller collects nothing itself; a run without workers that selected nothing has nothing to wait for.
        if not (self._distributes() or session.items):
            return None
        if self._deploys and self.config.pluginmanager.hasplugin("dsession"):
            # Workers are still collecting, and nothing is deployed for tests that cannot be collected.
            return None
        if self._deploys and session.testsfailed and not self.config.option.continue_on_collection_errors:
            # pytest ends the run for it.
            return None
        return None if self._may_begin() else True

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_xdist_make_scheduler(self) -> Generator[None, Any, Any]:
        """A run with workers deploys when all of them have collected, and before the first of them begins."""
        scheduler = yield
        if self._deploys:
            hold_back(scheduler, lambda: self._collected() and self._may_begin())
        return scheduler

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Judge what was recorded, write it down, and end with the verdict's exit code, whatever other hooks do."""
        try:
            return (yield)
        finally:
            if self._mistake:
                session.exitstatus = self._refused.exit_code if self._refused else pytest.ExitCode.USAGE_ERROR
            elif not only_looks(self.config.option):
                session.exitstatus = self.config.stash[VERDICT] = self._judged(int(session.exitstatus))

    def pytest_terminal_summary(self) -> None:
        """Print the verdict last, and before it what it rests on."""
        self._shown = True
        if mistake := self._mistake:
            self._write([f"ERROR: {mistake}"], red=True)
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

    @property
    def _mistake(self) -> str | None:
        return self.witness.mistake or (str(self._refused) if self._refused else None)

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

    def _collected(self) -> bool:
        """Whether the workers have found something to run, and nothing that they could not read."""
        broken = [each.node for each in self.result.records if each.state == "not collected" and not each.phases]
        if self.witness.assembly.planned and not broken:
            return True
        why = f"{', '.join(broken)} could not be collected" if broken else "nothing was selected"
        self._write([f"gaia: {why}: nothing was deployed, and no test was run."], red=True)
        return False

    def _may_begin(self) -> bool:
        """Deploy, if this run is asked to, and wait for the environment; return whether tests may run."""
        try:
            problem = self.deployment.begin(self.result, self.terminal) if self.deployment else []
        except (ConfigError, DeployLocked) as refusal:
            self._refused = refusal
            return False
        problem = problem or self._not_ready()
        self._write(problem, red=True)
        return not problem

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
            demand=demand_of(environment, deployed=self._deploys),
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
            deployed = self.deployment.look_again() if self.deployment else ()
        except KeyboardInterrupt:
            self.result.changed = ("the last look at the environment was interrupted",)
            return
        self.result.unavailable = "; ".join(ending.gone)
        self.result.changed = (*ending.changed, *deployed)
        self._noted = ending.noted

    def _show_waiting(self, pending: tuple[str, ...]) -> None:
        if self.terminal is not None and self.terminal.isatty:
            self.terminal.rewrite(f"gaia: waiting for {', '.join(pending)} …", erase=True)

    def _distributes(self) -> bool:
        return bool(getattr(self.config.option, "numprocesses", None) or getattr(self.config.option, "tx", None))

    def _write(self, lines: Sequence[str], *, red: bool = False) -> None:
        if self.terminal is not None:
            write(self.terminal, lines, red=red)
