"""The hooks. Each decides only who has to answer, and delegates; a run that does not use Gaia passes through untouched.

This module is loaded by every pytest run in which the package is installed, so it imports nothing but pytest and what
costs nothing; everything else is imported by the first hook that needs it (``tests/plugin/test_imports.py`` holds it).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia import hookspecs
from pytest_gaia.collection.needs import MARKER
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable
from pytest_gaia.plugin.signs import may_use_gaia, only_looks
from pytest_gaia.stash import RUN

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_gaia.plugin.checks.result import Judging, Result
    from pytest_gaia.plugin.deployment import Deployment
    from pytest_gaia.run.session import Run

pytest_plugins = ["pytest_gaia.fixtures"]


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let projects implement the hooks of this package."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, all of them under ``--gaia-``."""
    group = parser.getgroup("gaia", "tests of the Gaia Platform in one of its environments")
    add = group.addoption
    add("--gaia-env", metavar="NAME", help="the environment to test: sandbox (the default), or one that "
        "gaia.toml configures; also GAIA_ENV")  # fmt: skip
    add("--gaia-url", metavar="SERVICE=URL", action="append", default=[], help="where a service is; repeatable; without "
        "--gaia-env it makes an environment of its own. A bare URL is the gateway's; also GAIA_<SERVICE>_URL")  # fmt: skip
    add("--gaia-sandbox-without", metavar="MEMBER,…", action="append", default=[],
        help="start the sandbox with these members stopped: auth, asset, chat, nats, postgres")  # fmt: skip
    add("--gaia-sandbox-fixed", action="store_true", help="serve the sandbox without the platform's known defects")
    add("--gaia-rehearse", action="store_true", help="run the chosen environment's checks on a sandbox of its shape")
    add("--gaia-command", metavar="NAME", action="append", default=[],
        help="run the checks that stand for this command of the old test.sh; repeatable")  # fmt: skip
    add("--gaia-argument", metavar="VALUE", action="append", default=[],
        help="what the old command was given, such as a provider's name; repeatable")  # fmt: skip
    add("--gaia-record", metavar="FILE", type=Path, help="write the raw evidence of every test to FILE, as it happens "
        "(JSON Lines; `gaia replay FILE` judges it again)")  # fmt: skip
    add("--gaia-subjects", metavar="FILE", type=Path, help="write what rules can select to FILE (JSON), for `gaia "
        "policy`; use it with --collect-only")  # fmt: skip
    add("--gaia-seal", metavar="FILE", type=Path, help="write the sealed plan to FILE at the end of collection: every "
        "test that the environment runs by itself; the run, or one with --gaia-plan, then owes all of them")  # fmt: skip
    add("--gaia-plan", metavar="FILE", type=Path, help="hold the run against a plan that was sealed before: what it "
        "owes and does not pass ends in HOLD")  # fmt: skip
    add("--gaia-require-full", action="store_true", help="end a partial run, which leaves something out of the suites, "
        "with HOLD (11) instead of PARTIAL (0)")  # fmt: skip
    add("--gaia-bundle", metavar="ID", help="the bundle that is tested; it is written into plan and record")
    add("--gaia-report", metavar="FILE", type=Path, help="write the verdict and every judgement to FILE (JSON)")
    add("--gaia-deploy", action="store_true", help="deploy the environment once, after collection and before the first "
        "test; without it, what is deployed is only looked at")  # fmt: skip
    add("--gaia-deploy-services", metavar="SERVICE,…", action="append", default=[],
        help="with --gaia-deploy: only these services; repeatable; all: every one")  # fmt: skip
    add("--gaia-deploy-image", metavar="SERVICE=IMAGE", action="append", default=[],
        help="with --gaia-deploy: deploy this image instead of building one; repeatable")  # fmt: skip
    add("--gaia-deploy-region", metavar="REGION", help="with --gaia-deploy: the primary region, such as fra")
    add("--gaia-deploy-rebuild", action="store_true", help="with --gaia-deploy: build without earlier builds")
    add("--gaia-allure-expected", choices=("failed", "skipped"), default="failed", help="with --alluredir: how failures "
        "that do not gate are shown: failed, and known to be so (the default), or skipped, as Allure 2 counts them")  # fmt: skip


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> Generator[None]:
    """From here on, code of the project runs, and could end the run."""
    if not _may_use_gaia(early_config, early_config.known_args_namespace):
        return (yield)
    from pytest_gaia.plugin.ending import conftests_guarded

    return (yield from conftests_guarded(early_config, args))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, int, int]:
    """Nothing but its verdict ends a run of Gaia with 0."""
    if not _may_use_gaia(config, config.option):
        return (yield)
    if hasattr(config, "workerinput") and getattr(config.option, "clean_alluredir", False):
        # Its controller has cleaned it. A worker that comes for one that died would delete what there is by then.
        config.option.clean_alluredir = False
    from pytest_gaia.plugin.ending import settled

    return (yield from settled(config))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Resolve every option into one environment, and start what it needs in the background."""
    config.addinivalue_line("markers", MARKER)
    if not _may_use_gaia(config, config.option):
        return
    from pytest_gaia.plugin.ending import UNUSED
    from pytest_gaia.plugin.launch import launch

    try:
        run = launch(config)
        if run is not None:
            _register(config, run)
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from None
    except EnvironmentUnavailable as error:
        pytest.exit(str(error), returncode=error.exit_code)
    if run is None:
        config.stash[UNUSED] = True
        return
    config.stash[RUN] = run
    if _distributes(config):
        # Workers look for their root folder anew, and could find another one: files have come since.
        config.option.rootdir = str(config.rootpath)
    if not only_looks(config.option):
        run.start()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what was started."""
    if run := config.stash.get(RUN, None):
        run.stop()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand a starting xdist worker the place of the sandbox that all share."""
    if run := node.config.stash.get(RUN, None):
        from pytest_gaia.run.workers import tell_worker

        tell_worker(node, run)


def _may_use_gaia(config: pytest.Config, option: Any) -> bool:
    return may_use_gaia(option, config.rootpath, marked=config.inipath is not None)


def _register(config: pytest.Config, run: Run) -> None:
    from pytest_gaia.plugin.checks.result import Judging
    from pytest_gaia.plugin.masked_streams import mask_terminal
    from pytest_gaia.plugin.redacting import RedactionHooks
    from pytest_gaia.run.workers import attach

    # Without pytest's own plugin for marks (-p no:skipping) there is no such option.
    judging = Judging.of(run, excusing=not getattr(config.option, "runxfail", False))
    if run.is_worker:
        # First of all, because from now on there are secrets, and the masks are those of the controller.
        attach(config, run)
    mask_terminal(config, run.redactor.text)
    _add(config, "gaia-redaction", RedactionHooks(run, config))
    if run.is_worker:
        _register_worker(config, run, judging)
    else:
        _register_controller(config, run, judging)
    if run.declared.tolerance.xfail == "fails" and not _distributes(config):
        # pytest's own switch: marks of xfail mean nothing then. Not on a controller, whose options workers inherit.
        config.option.runxfail = True


def _distributes(config: pytest.Config) -> bool:
    option = config.option
    return not hasattr(config, "workerinput") and bool(
        getattr(option, "numprocesses", None) or getattr(option, "tx", None)
    )


def _register_worker(config: pytest.Config, run: Run, judging: Judging) -> None:
    from pytest_gaia.plugin.checks.hooks import CheckHooks
    from pytest_gaia.plugin.checks.scope import LedgerHooks, Scope
    from pytest_gaia.run.workers import LEFT_OUT, UNCOLLECTED, tell_nodes

    _add(config, "gaia-checks", CheckHooks(run, judging, None))
    told = partial(tell_nodes, config, LEFT_OUT), partial(tell_nodes, config, UNCOLLECTED)
    _add(config, "gaia-ledger", LedgerHooks(Scope.of(config, run), *told))
    _bridge(config, run, judging)


def _register_controller(config: pytest.Config, run: Run, judging: Judging) -> None:
    from pytest_gaia.plugin.checks.hooks import CheckHooks
    from pytest_gaia.plugin.checks.result import Result
    from pytest_gaia.plugin.checks.scope import LedgerHooks, Scope
    from pytest_gaia.plugin.checks.witness import ReportHooks, WitnessHooks
    from pytest_gaia.plugin.controller import ControllerHooks
    from pytest_gaia.plugin.ending import RESULT
    from pytest_gaia.plugin.terminal.outcomes import show_outcomes
    from pytest_gaia.plugin.terminal.progress import SuitesBegun

    result = config.stash[RESULT] = Result(run, judging, config)
    witness = WitnessHooks(result.add, run.shown, Scope.of(config, run))
    _add(config, "gaia-checks", CheckHooks(run, judging, witness.assembly))
    _add(config, "gaia-witness", witness)
    if _distributes(config):
        _add(config, "gaia-reports", ReportHooks(witness.assembly))
        show_outcomes(config)
    if config.option.gaia_seal or config.option.gaia_plan:
        from pytest_gaia.plugin.checks.scope import SealHooks, sealed_before

        result.plan = sealed_before(run, judging, config)
        if config.option.gaia_seal:
            _add(config, "gaia-seal", SealHooks(run, judging, result, witness, config))
    _add(config, "gaia-ledger", LedgerHooks(witness.scope, witness.left_out, witness.uncollected.update))
    _bridge(config, run, judging, result)
    suites = SuitesBegun(config, run.roots)
    _add(config, "gaia-suites", suites)
    _add(config, "gaia-controller", ControllerHooks(run, result, witness, config, suites, _deployment(config, run)))


def _bridge(config: pytest.Config, run: Run, judging: Judging, result: Result | None = None) -> None:
    """Only a run that writes for Allure imports what that takes."""
    if getattr(config.option, "allure_report_dir", None):
        from pytest_gaia.plugin.allure import bridge

        bridge(config, run, judging, result)


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
