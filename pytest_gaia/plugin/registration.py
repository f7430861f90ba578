"""Registration of the hooks of a run, in a worker or in the controller process."""

from __future__ import annotations

import atexit
import gc
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.errors import ConfigError
from pytest_gaia.fixtures.declared import fixtures_of
from pytest_gaia.plugin.checks.hooks import CheckHooks
from pytest_gaia.plugin.checks.plans import PlanHooks, Sharding, read_required_plan
from pytest_gaia.plugin.checks.result import Evaluator, Result
from pytest_gaia.plugin.checks.scope import CollectionHooks, Scope
from pytest_gaia.plugin.ending import RESULT
from pytest_gaia.plugin.launch import distributes
from pytest_gaia.plugin.masking import RedactionHooks, mask_terminal
from pytest_gaia.plugin.terminal.outcomes import show_outcomes
from pytest_gaia.run.session import Run
from pytest_gaia.run.workers import CANCELLED, LEFT_OUT, UNCOLLECTED, attach, tell_nodes, tell_worker
from pytest_gaia.system.processes import commit_of

if TYPE_CHECKING:
    from collections.abc import Callable

    # Workers do not import this.
    from pytest_gaia.plugin.checks.observer import ObserverHooks

    # Most runs deploy nothing and should not import it.
    from pytest_gaia.plugin.deployment import Deployment


class RunHooks:
    """Registered first, so that the run stops after all other hooks."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Stop the run."""
        self._run.stop()
        self._run.give_back()
        # pytest collects garbage several times after this. At its end, Python would do so again, for 0.2 s.
        atexit.register(gc.freeze)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Pass the location of the shared sandbox to an xdist worker."""
        tell_worker(node, self._run)


def register(config: pytest.Config, run: Run) -> None:
    """Register the hooks of this process. Raises :class:`~pytest_gaia.errors.ConfigError` for invalid expectations."""
    # Without pytest's own plugin for marks (-p no:skipping) there is no such option.
    evaluating = Evaluator.of(run, accepting=not getattr(config.option, "runxfail", False))
    if run.is_worker:
        # First, because secrets exist from now on, and the masks are those of the controller.
        attach(config, run)
    if run.declared.concurrency > 1:
        from pytest_gaia.plugin.concurrency.facts import introduction

        if (hooks := introduction(config, run)) is not None:
            _add(config, "gaia-explanation", hooks)
    _find_commit(config, run)
    sharding = Sharding.of(run, evaluating, config)
    _add(config, "gaia-run", RunHooks(run))
    _add(config, "gaia-services", fixtures_of(run.declared.platform))
    mask_terminal(config, run.redactor.text)
    _add(config, "gaia-redaction", RedactionHooks(run, config))
    if run.is_worker:
        _register_worker(config, run, evaluating, sharding)
    else:
        _register_controller(config, run, evaluating, sharding)
    if run.declared.tolerance.xfail == "fail" and not distributes(config):
        # pytest's own switch, which ignores xfail marks. Not on a controller, because workers inherit its options.
        config.option.runxfail = True


def _find_commit(config: pytest.Config, run: Run) -> None:
    """Set the commit of a run with a plan, before the network is guarded, which notes child processes."""
    option = config.option
    if run.is_worker or not (option.gaia_plan or option.gaia_plan_out):
        return
    try:
        run.commit = commit_of(run.options.rootdir, run.roots)
    except ConfigError:
        # A whole run does not need it.
        if option.gaia_plan_out or option.gaia_shard:
            raise


def _register_worker(config: pytest.Config, run: Run, evaluating: Evaluator, sharding: Sharding | None) -> None:
    _add(config, "gaia-checks", CheckHooks(run, evaluating, None))
    told = partial(tell_nodes, config, LEFT_OUT), partial(tell_nodes, config, UNCOLLECTED)
    _add(config, "gaia-collection", CollectionHooks(Scope.of(config, run), *told, sharding))
    _bridge(config, run, evaluating)
    _limit_time(config)
    _add_concurrency(config, run, partial(tell_nodes, config, CANCELLED))


def _register_controller(config: pytest.Config, run: Run, evaluating: Evaluator, sharding: Sharding | None) -> None:
    # Workers do not import these.
    from pytest_gaia.plugin.checks.observer import ObserverHooks, ReportHooks
    from pytest_gaia.plugin.controller import ControllerHooks
    from pytest_gaia.plugin.terminal.progress import SuiteAnnouncer

    result = config.stash[RESULT] = Result(run, evaluating, config)
    observer = ObserverHooks(result.assembly(), run.shown, Scope.of(config, run))
    _add(config, "gaia-checks", CheckHooks(run, evaluating, observer.assembly))
    _add(config, "gaia-observer", observer)
    if distributes(config):
        _add(config, "gaia-reports", ReportHooks(observer.assembly))
        show_outcomes(config)
    if sharding is not None:
        result.shard, result.plan = sharding.shard, sharding.plan
    elif config.option.gaia_plan_out or config.option.gaia_plan:
        result.plan = read_required_plan(run, evaluating, config)
        if config.option.gaia_plan_out:
            _add(config, "gaia-plan", PlanHooks(run, evaluating, result, observer, config))
    told = observer.left_out, observer.uncollected.update
    _add(config, "gaia-collection", CollectionHooks(observer.scope, *told, sharding))
    _bridge(config, run, evaluating, result)
    _add_concurrency(config, run, observer.cancelled.extend)
    suites = SuiteAnnouncer(config, run.roots)
    _add(config, "gaia-suites", suites)
    _add(config, "gaia-controller", ControllerHooks(run, result, observer, config, suites, _deployment(config, run)))
    _limit_time(config, result, observer)


def _bridge(config: pytest.Config, run: Run, evaluating: Evaluator, result: Result | None = None) -> None:
    """Register the hooks for Allure; only runs with ``--alluredir`` import them."""
    if getattr(config.option, "allure_report_dir", None):
        from pytest_gaia.plugin.allure import bridge

        bridge(config, run, evaluating, result)


def _limit_time(config: pytest.Config, result: Result | None = None, observer: ObserverHooks | None = None) -> None:
    """Register the hooks for ``--gaia-deadline``; other runs do not import them."""
    if config.option.gaia_deadline is not None:
        from pytest_gaia.plugin.deadline import register_deadline

        register_deadline(config, result, observer)


def _add_concurrency(config: pytest.Config, run: Run, cancelled: Callable[[list[str]], None]) -> None:
    """Register the hooks for concurrent tests; other runs do not import them."""
    if run.declared.concurrency > 1 and not distributes(config):
        from pytest_gaia.plugin.concurrency.runner import ConcurrencyHooks

        _add(config, "gaia-concurrency", ConcurrencyHooks(config, run, cancelled))


def _deployment(config: pytest.Config, run: Run) -> Deployment | None:
    """Return the deployment, if there is one; other runs do not import it."""
    given = any(getattr(config.option, name) for name in vars(config.option) if name.startswith("gaia_deploy"))
    if run.declared.deploy is None and not given:
        return None
    from pytest_gaia.plugin.deployment import Deployment

    return Deployment.of(run, config)


def _add(config: pytest.Config, name: str, hooks: object) -> None:
    if config.pluginmanager.register(hooks, name) is None:
        raise ConfigError(
            f"-p no:{name}: this plugin is required for a verdict. To run without pytest-gaia, use -p no:gaia."
        )
