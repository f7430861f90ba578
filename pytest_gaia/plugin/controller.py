"""Hooks of the controller process: header, readiness, verdict, exit code."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.config.environment import Environment
from pytest_gaia.errors import ConfigError, DeployLocked, GaiaError, SandboxError
from pytest_gaia.expectations.apis import Apis
from pytest_gaia.fixtures import declared
from pytest_gaia.observation import documents
from pytest_gaia.observation.logs import SECONDS, as_text, find_lines
from pytest_gaia.observation.readiness import ServiceState, demand_of, probe_services
from pytest_gaia.observation.watching import Beginning, Early, look, observe_again
from pytest_gaia.plugin.checks.observer import ObserverHooks
from pytest_gaia.plugin.checks.result import Result
from pytest_gaia.plugin.ending import VERDICT
from pytest_gaia.plugin.launch import distributes
from pytest_gaia.plugin.options import runs_no_tests
from pytest_gaia.plugin.pytest_private import replaced_fixtures
from pytest_gaia.plugin.terminal.failures import show_logs
from pytest_gaia.plugin.terminal.progress import SuiteAnnouncer, Waiting, write
from pytest_gaia.plugin.terminal.summary import Actions, RunSummary, rewrite_junit
from pytest_gaia.report import services
from pytest_gaia.run.session import Run

if TYPE_CHECKING:
    # Most runs deploy nothing and should not import it.
    from pytest_gaia.plugin.deployment import Deployment
from pytest_gaia.run.workers import hold_back
from pytest_gaia.wording import counted

_CUT_SHORT = (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR)
"""exit statuses that end with HOLD anyway, without a final check"""

_IMPAIRED = 6.0
"""seconds to become ready for an environment where a service does not run: three slow probes"""
_RETRY = ("pytest-retry", "pytest_retry.retry_plugin")
"""names of a plugin that repeats a call inside a hook and shows only the last report"""
_UNCOUNTED = (
    "gaia: pytest-retry: a test that passes on a retry of this plugin counts as failed. "
    "Reruns of pytest-rerunfailures and flaky count."
)


class ControllerHooks:
    """Registered once per run: on xdist's controller, or in the single process of a run without workers."""

    def __init__(
        self,
        run: Run,
        result: Result,
        observer: ObserverHooks,
        config: pytest.Config,
        suites: SuiteAnnouncer,
        deployment: Deployment | None = None,
    ) -> None:
        self.run = run
        self.result = result
        self.observer = observer
        self.config = config
        self._suites = suites
        self.deployment = deployment
        # Tests can change the environment of their process.
        self._actions = Actions.of(config.rootpath, self._mask)
        self._deploys = deployment is not None and deployment.asked
        self._refused: GaiaError | None = None
        """why nothing was deployed, if the user must fix it"""
        self._printed = False
        self._met: tuple[ServiceState, ...] = ()
        """states of the services before the first test; empty if no test ran"""
        self._noted: tuple[str, ...] = ()
        """observations at the end that do not affect the verdict"""
        self._early: Early | None = None
        self._documents: documents.Snapshot = {}
        """OpenAPI documents of the services; empty if no test ran"""
        path: Path | None = config.option.gaia_baseline
        self._baseline = None if path is None else documents.baseline_at(path.absolute())

    @property
    def terminal(self) -> pytest.TerminalReporter | None:
        """pytest's terminal, unless it is switched off."""
        return self.config.pluginmanager.get_plugin("terminalreporter")

    def pytest_report_header(self) -> list[str]:
        """Return the lines about the environment."""
        uncounted = [_UNCOUNTED] if any(map(self.config.pluginmanager.hasplugin, _RETRY)) else []
        deployed = self.deployment.header() if self.deployment else ()
        own = dir(self.config.pluginmanager.get_plugin("gaia-services"))
        replaced = [
            f"gaia: the fixture {name} is the one of the service, not that of {module}; rename one of them."
            for name, module in replaced_fixtures(self.config, own, declared.__name__)
        ]
        order = [f"gaia: {self.result.order}"] if self.result.order else []
        return [
            *services.header(self.run.declared),
            *order,
            *self.run.sandbox_lines(),
            *deployed,
            *uncounted,
            *replaced,
        ]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Probe the environment while this process collects, unless something changes it before the first test."""
        changes = self.run.declared.sandbox or (self.deployment is not None and not self.deployment.is_still)
        # The deploy tool may need the credentials that tests must not have.
        if self.deployment is not None and self.deployment.is_still and not self.run.withheld:
            self.deployment.observe_early()
        if not (changes or distributes(self.config) or runs_no_tests(self.config.option)):
            # After collection, the same error ends the run with a message.
            with suppress(ConfigError):
                environment = self.run.declared
                self._early = Early(environment, demand_of(environment), self.run.options.sandbox_without)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Deploy and wait for the environment after collection; run no test if it is not ready."""
        if runs_no_tests(self.config.option):
            return None
        # xdist's controller collects nothing itself; a run without workers that selected nothing has nothing to wait for.
        if not (distributes(self.config) or session.items):
            return None
        if self._deploys and self.config.pluginmanager.hasplugin("dsession"):
            # Workers are still collecting. If that fails, nothing is deployed.
            return None
        if self._deploys and session.testsfailed and not self.config.option.continue_on_collection_errors:
            # pytest ends the run.
            return None
        if not self._may_begin():
            return True
        self._suites.begin(item.nodeid for item in session.items)
        return None

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_xdist_make_scheduler(self) -> Generator[None, Any, Any]:
        """Deploy when all workers have collected, and before the first test."""
        scheduler = yield
        if self._deploys:
            hold_back(scheduler, lambda: self._collected() and self._may_begin())
        return scheduler

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Evaluate and write the results, and end with the verdict's exit code, whatever other hooks do."""
        try:
            return (yield)
        finally:
            if self._usage_error:
                session.exitstatus = self._refused.exit_code if self._refused else pytest.ExitCode.USAGE_ERROR
            elif not runs_no_tests(self.config.option):
                session.exitstatus = self.config.stash[VERDICT] = self._evaluated(int(session.exitstatus))

    @pytest.hookimpl(wrapper=True, tryfirst=True, specname="pytest_sessionfinish")
    def pytest_gaia_print(self) -> Generator[None]:
        """Outermost wrapper: print the verdict after everything else, pytest's summary included."""
        try:
            return (yield)
        finally:
            self._print()

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        """Print the verdict if a hook has ended the run before."""
        if self._early:
            self._early.stop()
        self._print()

    @property
    def _usage_error(self) -> str | None:
        return self.observer.usage_error or (str(self._refused) if self._refused else None)

    @property
    def _is_accepted(self) -> bool:
        """Whether this run accepts the release of a deployed environment."""
        evaluated = self.result.evaluated
        return evaluated is not None and evaluated.verdict.word == "PROMOTE" and not self.run.declared.sandbox

    def _mask(self, text: str) -> str:
        # Only at the end, because it waits for the sandbox.
        return self.run.redactor.text(text)

    def _print(self) -> None:
        if self._printed:
            return
        self._printed = True
        summary = RunSummary(self.config, self.run.declared.label, self._actions)
        if usage_error := self._usage_error:
            summary.print_usage_error(usage_error)
        elif evaluated := self.result.evaluated:
            if cancelled := self.observer.cancelled:
                what = f"{counted(len(cancelled), 'test')} had begun when the run ended, and did not count"
                self._noted += (f"{what}: tests are started early (--gaia-concurrency).",)
            reduced = services.reduced(self.observer.reduced | self.run.reduced())
            summary.print(evaluated, (*self._noted, *reduced), self.result.unwritten)

    def _evaluated(self, exitstatus: int) -> int:
        self.observer.assembly.finish()
        self._observe_again(exitstatus)
        observer = self.observer
        self.result.network = tuple(map(self._mask, self._network()))
        planned = len(observer.assembly.planned)
        late = [*self.run.late, *observer.late]
        code = self.result.close(exitstatus, planned, partial=observer.partial(), lost=observer.lost, late=late)
        if code == 0 and self._documents and self._is_accepted:
            self._store(self.run.declared, accepted=True)
        self._read_logs(exitstatus)
        texts = {node: as_text(lines) for node, lines in self.result.logs.items()}
        if self.result.evaluated and (problem := rewrite_junit(self.config, self.result.evaluated, texts)):
            self.result.unwritten.append(problem)
            return code or int(pytest.ExitCode.USAGE_ERROR)
        return code

    def _read_logs(self, exitstatus: int) -> None:
        """Read the log lines of the failing tests, all at once, and add them to their reports."""
        evaluated = self.result.evaluated
        blocking = {each.node for each in evaluated.classifications if each.blocks} if evaluated else set()
        failing = {each.node: each for each in self.result.records if each.node in blocking}
        sandbox = self.run.sandbox
        if not failing or (sandbox is None and (exitstatus in _CUT_SHORT or self.result.deadline)):
            return
        try:
            waiting = Waiting(self.terminal, f"logs of {self.run.declared.name}", SECONDS)
            directory = None if sandbox is None else sandbox.directory
            with waiting, self.run.credentials():
                found = find_lines(failing.values(), self.run.declared, directory, self.run.shown, waiting)
        except KeyboardInterrupt:
            self._noted += ("reading the logs was interrupted",)
            return
        # Logs explain a verdict, and must not change it.
        except Exception as error:  # noqa: BLE001
            self._noted += (self._mask(f"the logs were not read: {type(error).__name__}: {error}"),)
            return
        self.result.logs = found.lines
        self._noted += found.notes
        if self.terminal is not None:
            show_logs(self.terminal, found.lines)

    def _network(self) -> tuple[str, ...]:
        """Return what the network guards of all processes have found, one sentence each."""
        found = [*self.observer.network, *([self.run.network.findings.plain()] if self.run.network else [])]
        if not found:
            return ()
        # Runs on the sandbox do not import it.
        from pytest_gaia.clients.network import Findings

        total = Findings()
        for each in found:
            total.add(each)
        return total.sentences()

    def _collected(self) -> bool:
        """Whether the workers collected tests without errors."""
        broken = [each.node for each in self.result.records if each.state == "not collected" and not each.phases]
        if self.observer.assembly.planned and not broken:
            return True
        why = f"{', '.join(broken)} could not be collected" if broken else "nothing was selected"
        self._write([f"gaia: {why}; nothing was deployed, and no test ran."], red=True)
        return False

    def _may_begin(self) -> bool:
        """Deploy if requested, and wait for the environment; return whether tests may run."""
        try:
            with self.run.credentials():
                problem = self.deployment.begin(self.result, self.terminal) if self.deployment else []
            problem = problem or self._not_ready()
        except (ConfigError, DeployLocked) as refusal:
            self._refused = refusal
            return False
        self._write(problem, red=True)
        return not problem

    def _not_ready(self) -> list[str]:
        """Wait for the environment; return a message if it does not become ready."""
        try:
            environment = self._started()
        except SandboxError as error:
            self.result.unavailable = "the sandbox did not start"
            return ["gaia: the sandbox did not start; no test ran.", str(error)]
        deadline = environment.timeouts.ready
        outages = self.deployment.outages if self.deployment else {}
        if self.deployment and outages.keys() & set(environment.required):
            # The reason is known; waiting would change nothing.
            beginning = Beginning(self.deployment.states())
        else:
            beginning = self._probed(environment, min(deadline, _IMPAIRED) if outages else deadline, (*outages,))
        states = self.deployment.states(beginning.states) if self.deployment else beginning.states
        if self.config.get_verbosity() >= 0:
            self._write(services.service_table(environment, states))
        missing = services.missing(environment, states)
        if missing:
            self.result.unavailable = services.reasons(missing)
        else:
            if beginning.observed is None:
                with Waiting(self.terminal, f"OpenAPI documents of {environment.name}", deadline) as waiting:
                    beginning = look(environment, states, waiting)
            self._documents = beginning.documents
            assert beginning.observed is not None
            self.run.handoff.write(beginning.observed.without(outages), self._apis(environment))
            self._met = states
        self.result.begin(environment, states)
        return services.not_ready(environment, missing, deadline) if missing else []

    def _probed(self, environment: Environment, deadline: float, given_up: tuple[str, ...]) -> Beginning:
        """Return the states, as soon as all services but those ``given_up`` are ready or ``deadline`` seconds have passed."""
        with Waiting(self.terminal, f"readiness of {environment.name}", deadline) as waiting:
            found = self._early.beginning(waiting, deadline, given_up) if self._early else None
            if found is not None:
                return found
            demand, stopped = demand_of(environment, deployed=self._deploys), self.run.options.sandbox_without
            stopped = (*stopped, *given_up)
            return Beginning(
                probe_services(environment, deadline=deadline, demand=demand, stopped=stopped, waiting=waiting)
            )

    def _apis(self, environment: Environment) -> Apis:
        """Return the operations that the services offer, by their documents, and those of the baseline."""
        if not environment.sandbox:
            self._store(environment)
        baseline = self._baseline
        if baseline is None and not environment.sandbox:
            baseline = documents.last_baseline(self.run.options.rootdir, environment.name)
        return Apis(documents.offered(self._documents, baseline), baseline)

    def _store(self, environment: Environment, *, accepted: bool = False) -> None:
        """Save the documents, which the evidence refers to; those of an ``accepted`` release are the next baseline."""
        rootdir = self.run.options.rootdir
        try:
            documents.store(self._documents, rootdir)
            if accepted:
                documents.keep(self._documents, documents.kept_folder(rootdir, environment.name))
        except (OSError, ConfigError) as error:
            self._noted += (f"the OpenAPI documents could not be saved: {error}",)

    def _observe_again(self, exitstatus: int) -> None:
        """Check the environment again at the end. Nothing else can change the sandbox, so it is not checked."""
        if not self._met or self.run.declared.sandbox or exitstatus in _CUT_SHORT:
            return
        environment = self.run.environment
        try:
            deadline = environment.timeouts.ready
            waiting = Waiting(self.terminal, f"final check of {environment.name}", deadline)
            with waiting, self.run.credentials():
                deployed = self.deployment.observe_again() if self.deployment else None
                ending = observe_again(environment, self._met, deadline=deadline, waiting=waiting)
                interrupted, changed = deployed() if deployed else ((), ())
        except KeyboardInterrupt:
            self.result.changed = ("the final check of the environment was interrupted",)
            return
        except ConfigError as usage_error:
            # A test has changed a variable that readiness reads.
            self.result.changed = (f"the final check of the environment failed: {usage_error}",)
            return
        self.result.unavailable = "; ".join((*ending.gone, *interrupted, *self._not_tested()))
        self.result.changed = (*ending.changed, *changed)
        self._noted = ending.noted

    def _not_tested(self) -> list[str]:
        """Return why tests did not run: the containers of a service that they require."""
        outages = self.deployment.outages if self.deployment else {}
        held = {service for record in self.result.records for service in record.not_sent}
        return [f"{service}: {outage}" for service, outage in outages.items() if service in held]

    def _started(self) -> Environment:
        """Wait for the sandbox, if there is one; return the environment with all addresses."""
        if self.run.sandbox is not None:
            with Waiting(self.terminal, "starting the sandbox", self.run.sandbox.limit) as waiting:
                self.run.sandbox.ready(waiting=waiting)
        return self.run.environment

    def _write(self, lines: Sequence[str], *, red: bool = False) -> None:
        if self.terminal is not None:
            write(self.terminal, lines, red=red)
