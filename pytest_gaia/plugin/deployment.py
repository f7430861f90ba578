"""The deployment of a run's environment, and observation of the deployed state before and after the tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from pytest_gaia.config.environment import Environment
from pytest_gaia.deploy.contract import DeployHook, Request
from pytest_gaia.deploy.hooks import PluginHook, hook_for
from pytest_gaia.deploy.outcome import images
from pytest_gaia.errors import ConfigError, DeployUnavailable
from pytest_gaia.observation.deployed import (
    LOCAL,
    Outage,
    ServiceObservation,
    app_state,
    changes,
    corrected,
    interrupted,
    observe_services,
    outages,
    start_suspended,
    starter_of,
    weakened,
)
from pytest_gaia.observation.readiness import ServiceState
from pytest_gaia.observation.targets import in_background, targets
from pytest_gaia.plugin.checks.result import Result
from pytest_gaia.plugin.options import runs_no_tests
from pytest_gaia.plugin.terminal.progress import begin_line, erase_line, show_briefly, write
from pytest_gaia.report import services as report
from pytest_gaia.report.services import ending
from pytest_gaia.rollout.course import roll_out
from pytest_gaia.rollout.model import Progress, Rollout, RolloutInterrupted, RolloutResult, Step, StepResult
from pytest_gaia.rollout.plan import plan_rollout, split_images, split_services
from pytest_gaia.run.session import Run
from pytest_gaia.system.signals import like_interrupts
from pytest_gaia.verdict.evidence import DeploymentSeen, ServiceSeen

HOOK = "pytest_gaia_deploy"
_FRESH = 30.0
"""seconds for which an observation during collection counts"""
_COMPANIONS = ("gaia_deploy_services", "gaia_deploy_image", "gaia_deploy_region", "gaia_deploy_rebuild")


class Deployment:
    """The deployment of a run's environment. It exists in the controller process only."""

    def __init__(self, run: Run, config: pytest.Config, rollout: Rollout | None, whole: Rollout) -> None:
        self.result: RolloutResult | None = None
        """result of this run's deployment"""
        self._environment = run.declared
        self._project = run.options.project
        self._config = config
        self._rollout = rollout
        self._whole = whole
        self._before: tuple[ServiceObservation, ...] = ()
        self._notes: list[str] = []
        self._early: Future[tuple[ServiceObservation, ...]] | None = None
        self._began = 0.0
        self.outages: dict[str, Outage] = {}
        """service → why its containers are no evidence; filled by :meth:`begin`"""

    @classmethod
    def of(cls, run: Run, config: pytest.Config) -> Deployment | None:
        """Return the deployment of the run's environment; None if there is nothing to deploy or observe.

        Raises ``ConfigError`` if it is known before collection that the deployment is impossible.
        """
        option, environment = config.option, run.declared
        asked = _asked(option, environment)
        if not asked and (environment.deploy is None or environment.sandbox or runs_no_tests(option)):
            return None
        rootdir = run.options.rootdir
        files = None if environment.sandbox else environment.deployment
        rollout = None
        if asked:
            # Raises an error for invalid addresses before anything is deployed.
            tuple(targets(environment))
            services = split_services(option.gaia_deploy_services or None, "--gaia-deploy-services")
            rollout = plan_rollout(
                environment,
                files,
                rootdir=rootdir,
                services=services,
                images=split_images(option.gaia_deploy_image, services, "--gaia-deploy-image"),
                region=option.gaia_deploy_region,
                rebuild=option.gaia_deploy_rebuild,
            )
        return cls(run, config, rollout, plan_rollout(environment, files, rootdir=rootdir, check=False))

    @property
    def asked(self) -> bool:
        """Whether this run deploys."""
        return self._rollout is not None

    @property
    def is_still(self) -> bool:
        """Whether nothing changes the deployment before the first test, so that it can be observed during collection."""
        return self._hook_name == LOCAL and not self.asked

    def observe_early(self) -> None:
        """Begin to observe in a thread."""
        self._began = time.monotonic()
        self._early = in_background(partial(self._sights, self._whole), "deployment")

    @property
    def seen(self) -> DeploymentSeen:
        """The deployed state, for the results."""
        done = {step.service: step for step in self.result.steps} if self.result else {}
        observations = {observed.service: observed for observed in self._before}
        return DeploymentSeen(
            hook=self._hook_name,
            services=tuple(
                _service(step, observations.get(step.service), done.get(step.service), local=self._hook_name == LOCAL)
                for step in self._steps().values()
            ),
            by_this_run=self.result is not None,
            started=self.result.started if self.result else "",
            notes=tuple(dict.fromkeys(self._notes)),
        )

    def header(self) -> list[str]:
        """Return the lines for the header."""
        return [report.intention(self._rollout, self._hook_name)] if self._rollout else []

    def begin(self, result: Result, terminal: pytest.TerminalReporter | None) -> list[str]:
        """Deploy if requested, and observe the deployed state; return a message if no test may run.

        Raises ``ConfigError`` for problems that the user must fix, ``DeployLocked``, and ``KeyboardInterrupt``.
        """
        if self._rollout is not None:
            try:
                self._deploy(self._rollout, terminal)
            finally:
                result.deployment = self.seen
        done = self.result
        if done is not None and not done.good:
            if done.exit_code == DeployUnavailable.exit_code:
                result.unavailable = f"the deployment could not run: {done.problem}"
            else:
                result.undeployed = f"the deployment failed: {done.problem}"
            return report.failure(done)
        self._look()
        self._wake(terminal)
        result.deployment = self.seen
        self.outages = outages(self._before, self._environment) if self._hook_name == LOCAL else {}
        if terminal is not None:
            is_brief = terminal.verbosity < 0
            lines = report.table(self._environment.label, self.seen)
            write(terminal, report.outage_lines(self.outages) if is_brief else lines)
        return self._taken(result)

    def _taken(self, result: Result) -> list[str]:
        """Return a message if other containers respond at addresses of this environment, which makes nothing evidence."""
        observations = (observed.observation for observed in self._before if observed.service in self.outages)
        taken = [
            f"{seen.app}: {seen.elsewhere} responds at its address" for seen in observations if seen and seen.elsewhere
        ]
        result.unavailable = "; ".join(taken)
        return report.taken(self._environment.label, taken) if taken else []

    def states(self, probed: Sequence[ServiceState] | None = None) -> tuple[ServiceState, ...]:
        """Return the states of the services that were ``probed``, or of those whose containers are no evidence."""
        states = [ServiceState(service, "") for service in self.outages] if probed is None else probed
        local = self._hook_name == LOCAL
        return corrected(states, self.outages, needs=self._needs, problem=self._problem if local else lambda _: "")

    def _problem(self, service: str) -> str:
        return next((observed.problem for observed in self._before if observed.service == service), "")

    def _needs(self, service: str) -> frozenset[str]:
        steps = self._steps()
        units = steps[service].needs if service in steps else ()
        platform = self._environment.platform
        behind = (name for name in platform if platform[name].via == service)
        named = (name for name, step in steps.items() if step.app in units)
        return frozenset((*named, *behind, *(platform[service].depends_on if service in platform else ())))

    def observe_again(self) -> Callable[[], tuple[tuple[str, ...], tuple[str, ...]]]:
        """Observe again after the last test, in a thread if the hook allows it.

        Returns a function that returns sentences: containers that were ended, restarted or replaced, and other changes.
        """
        watched = {observed.service for observed in self._before if observed.observation is not None}
        again = replace(self._whole, steps=tuple(step for name, step in self._steps().items() if name in watched))
        if self._hook_name != LOCAL:
            return lambda: ((), tuple(changes(self._before, self._sights(again))))
        found = in_background(partial(self._sights, again), "deployment")

        def compared() -> tuple[tuple[str, ...], tuple[str, ...]]:
            now = found.result()
            changed = (*changes(self._before, now), *weakened(self._before, now))
            return tuple(interrupted(self._before, now)), changed

        return compared

    def _deploy(self, rollout: Rollout, terminal: pytest.TerminalReporter | None) -> None:
        hook = self._hook()
        try:
            with like_interrupts():
                self.result = self._server_info(
                    rollout, roll_out(rollout, hook, progress=TerminalProgress(terminal, hook.name))
                )
        except RolloutInterrupted as interruption:
            self.result = self._server_info(rollout, interruption.result)
            if terminal is not None:
                write(terminal, report.interruption(self.result), red=True)
            raise

    def _server_info(self, rollout: Rollout, result: RolloutResult) -> RolloutResult:
        """Keep the notes; replace the command to continue for a hook that only pytest can call."""
        self._notes += result.notes
        # A promotion records its deployment itself.
        apart = self._environment.sandbox or self._config.option.gaia_release
        if not apart and self._project.ledger.may_have_entries(self._project.rootdir):
            from pytest_gaia.promotion.promote.signing import recorded

            self._notes += filter(None, (recorded(self._project, result),))
        if not result.go_on or self._hook_name != "plugin":
            return result
        left = {step.service for step in result.steps if not step.good}
        rollout = replace(rollout, steps=tuple(step for step in rollout.steps if step.service in left))
        return replace(result, go_on=report.command(rollout))

    def _look(self) -> None:
        """Observe the services, except those that this run has just deployed."""
        if self._early is not None:
            found = self._early.result()
            if time.monotonic() - self._began < _FRESH:
                self._before = found
                return
        done = self.result.steps if self.result else ()
        known = {
            step.service: ServiceObservation(step.service, step.app, step.after)
            for step in done
            if step.after is not None
        }
        rest = tuple(step for step in self._whole.steps if step.service not in known)
        self._before = (*known.values(), *self._sights(replace(self._whole, steps=rest)))

    def _wake(self, terminal: pytest.TerminalReporter | None) -> None:
        wake = starter_of(self._hook_name)

        def say(service: str) -> None:
            if terminal is not None:
                write(terminal, [f"gaia: {service} is suspended; starting it"])

        if wake is not None:
            started = start_suspended(self._before, wake, deadline=self._environment.timeouts.ready, say=say)
            self._notes += map(str, started)

    def _steps(self) -> dict[str, Step]:
        """Return the steps of all services of the environment, and of this run's deployment."""
        return {step.service: step for step in (*self._whole.steps, *(self._rollout.steps if self._rollout else ()))}

    def _sights(self, rollout: Rollout) -> tuple[ServiceObservation, ...]:
        try:
            hook = self._hook()
        except ConfigError as error:
            return tuple(ServiceObservation(step.service, step.app, problem=str(error)) for step in rollout.steps)
        return observe_services(rollout, hook)

    def _hook(self) -> DeployHook:
        own = bool(self._config.hook.pytest_gaia_deploy.get_hookimpls())
        if own and self._hook_name != "plugin":
            self._notes.append(
                f"{HOOK} is not called, because the deploy hook of {self._environment.name} is {self._hook_name}"
            )
        plugin_hook = PluginHook(self._call, HOOK) if own else None
        return hook_for(self._environment, plugin_hook, rootdir=self._whole.rootdir)

    def _call(self, request: Request, log: Callable[[str], None]) -> object:
        try:
            return self._config.hook.pytest_gaia_deploy(request=request, log=log)
        except (pytest.skip.Exception, pytest.fail.Exception) as outcome:
            # They do not derive from Exception, so pytest would report an internal error.
            raise RuntimeError(f"a test's outcome, {type(outcome).__name__}: {outcome}") from outcome

    @property
    def _hook_name(self) -> str:
        return self._environment.deploy.hook if self._environment.deploy else ""


def _asked(option: Any, environment: Environment) -> bool:
    """Whether this run deploys. Raises ``ConfigError`` if options contradict each other."""
    if not option.gaia_deploy:
        given = next((name for name in _COMPANIONS if getattr(option, name)), None)
        if given is not None:
            raise ConfigError(f"--{given.replace('_', '-')} requires --gaia-deploy.")
        return False
    if runs_no_tests(option):
        raise ConfigError(
            "--gaia-deploy cannot be combined with --collect-only and similar options. To print the commands, run: "
            f"gaia deploy {environment.name} --dry-run"
        )
    return True


def _service(step: Step, observed: ServiceObservation | None, done: StepResult | None, *, local: bool) -> ServiceSeen:
    observation = observed.observation if observed else None
    if observation is None and done is not None:
        observation = done.after
    machines = observation.machines if observation else ()
    state, reason = app_state(observation, local=local) if observation else ("", "")
    return ServiceSeen(
        service=step.service,
        app=step.app,
        outcome=done.outcome if done else "",
        state=state,
        reason=(done.reason if done else observed.problem if observed else "") or reason,
        version=observation.version if observation else None,
        images=images(observation) if observation else (),
        machines=len(machines) if observation else None,
        passing=sum(machine.passing for machine in machines),
        checks=sum(machine.checks for machine in machines),
        elapsed=round(done.elapsed, 3) if done else 0.0,
    )


class TerminalProgress(Progress):
    """Prints one line per service. Shows output of the tool briefly on a terminal, and keeps it with ``-v``."""

    def __init__(self, terminal: pytest.TerminalReporter | None, hook: str) -> None:
        self._terminal = terminal
        self._hook = hook
        self._rewritten = False

    def begun(self, rollout: Rollout) -> None:
        """Print the planned deployment."""
        names = ", ".join(step.service for step in rollout.steps)
        self._print(f"gaia: deploying {names} to {rollout.environment} with {self._hook}")

    def waiting(self, service: str, text: str) -> None:
        """Show the text briefly."""
        if self._terminal is not None and self._terminal.isatty:
            if not self._rewritten:
                begin_line(self._terminal)
            show_briefly(self._terminal, f"  {service}: {text}")
            self._rewritten = True

    def line(self, service: str, text: str) -> None:
        """Print a line of the tool with ``-v``; otherwise show it briefly."""
        if self._terminal is not None and self._terminal.verbosity > 0 and text.strip():
            self._print(f"  {service} | {text}")
        elif text.strip():
            self.waiting(service, text.strip())

    def ended(self, step: StepResult) -> None:
        """Print the outcome."""
        self._print(ending(step))

    def note(self, text: str) -> None:
        """Print a note."""
        self._print(f"gaia: note: {text}")

    def _print(self, text: str) -> None:
        if self._terminal is None:
            return
        if self._rewritten:
            erase_line(self._terminal)
            self._rewritten = False
        else:
            self._terminal.ensure_newline()
        self._terminal.write_line(text)
