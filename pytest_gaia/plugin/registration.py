"""Which hooks a process of a run of Gaia registers: a worker, or the one where the user is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.errors import ConfigError
from pytest_gaia.plugin.checks.hooks import CheckHooks
from pytest_gaia.plugin.checks.result import Evaluator, Result
from pytest_gaia.plugin.checks.scope import CollectionHooks, PlanHooks, Scope, read_required_plan
from pytest_gaia.plugin.ending import RESULT
from pytest_gaia.plugin.launch import distributes
from pytest_gaia.plugin.masking import RedactionHooks, mask_terminal
from pytest_gaia.plugin.terminal.outcomes import show_outcomes
from pytest_gaia.run.session import Run
from pytest_gaia.run.workers import LEFT_OUT, UNCOLLECTED, attach, tell_nodes, tell_worker

if TYPE_CHECKING:
    # Most runs deploy nothing, and must not pay for what that imports.
    from pytest_gaia.plugin.deployment import Deployment


class RunHooks:
    """The run begins before all that is registered after it, and ends after it."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Stop what was started."""
        self._run.stop()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Hand a starting xdist worker the place of the sandbox that all share."""
        tell_worker(node, self._run)


def register(config: pytest.Config, run: Run) -> None:
    """Register the hooks of this process. Raises :class:`~pytest_gaia.errors.ConfigError` for a mistake in the rules."""
    # Without pytest's own plugin for marks (-p no:skipping) there is no such option.
    evaluating = Evaluator.of(run, accepting=not getattr(config.option, "runxfail", False))
    if run.is_worker:
        # First of all, because from now on there are secrets, and the masks are those of the controller.
        attach(config, run)
    _add(config, "gaia-run", RunHooks(run))
    mask_terminal(config, run.redactor.text)
    _add(config, "gaia-redaction", RedactionHooks(run, config))
    if run.is_worker:
        _register_worker(config, run, evaluating)
    else:
        _register_controller(config, run, evaluating)
    if run.declared.tolerance.xfail == "fail" and not distributes(config):
        # pytest's own switch: marks of xfail mean nothing then. Not on a controller, whose options workers inherit.
        config.option.runxfail = True


def _register_worker(config: pytest.Config, run: Run, evaluating: Evaluator) -> None:
    _add(config, "gaia-checks", CheckHooks(run, evaluating, None))
    told = partial(tell_nodes, config, LEFT_OUT), partial(tell_nodes, config, UNCOLLECTED)
    _add(config, "gaia-collection", CollectionHooks(Scope.of(config, run), *told))
    _bridge(config, run, evaluating)


def _register_controller(config: pytest.Config, run: Run, evaluating: Evaluator) -> None:
    # Workers do not pay for these.
    from pytest_gaia.plugin.checks.observer import ObserverHooks, ReportHooks
    from pytest_gaia.plugin.controller import ControllerHooks
    from pytest_gaia.plugin.terminal.progress import SuiteAnnouncer

    result = config.stash[RESULT] = Result(run, evaluating, config)
    observer = ObserverHooks(result.add, run.shown, Scope.of(config, run))
    _add(config, "gaia-checks", CheckHooks(run, evaluating, observer.assembly))
    _add(config, "gaia-observer", observer)
    if distributes(config):
        _add(config, "gaia-reports", ReportHooks(observer.assembly))
        show_outcomes(config)
    if config.option.gaia_plan_out or config.option.gaia_plan:
        result.plan = read_required_plan(run, evaluating, config)
        if config.option.gaia_plan_out:
            _add(config, "gaia-plan", PlanHooks(run, evaluating, result, observer, config))
    _add(config, "gaia-collection", CollectionHooks(observer.scope, observer.left_out, observer.uncollected.update))
    _bridge(config, run, evaluating, result)
    suites = SuiteAnnouncer(config, run.roots)
    _add(config, "gaia-suites", suites)
    _add(config, "gaia-controller", ControllerHooks(run, result, observer, config, suites, _deployment(config, run)))


def _bridge(config: pytest.Config, run: Run, evaluating: Evaluator, result: Result | None = None) -> None:
    """Only a run that writes for Allure imports what that takes."""
    if getattr(config.option, "allure_report_dir", None):
        from pytest_gaia.plugin.allure import bridge

        bridge(config, run, evaluating, result)


def _deployment(config: pytest.Config, run: Run) -> Deployment | None:
    """Most runs have none, and must not pay for what it imports."""
    given = any(getattr(config.option, name) for name in vars(config.option) if name.startswith("gaia_deploy"))
    if run.declared.deploy is None and not given:
        return None
    from pytest_gaia.plugin.deployment import Deployment

    return Deployment.of(run, config)


def _add(config: pytest.Config, name: str, hooks: object) -> None:
    if config.pluginmanager.register(hooks, name) is None:
        raise ConfigError(
            f"-p no:{name}: this part cannot be left out, there would be no verdict; -p no:gaia leaves out all."
        )
