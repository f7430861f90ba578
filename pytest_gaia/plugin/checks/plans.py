"""The test plan of a run, and its shards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from dis import get_instructions
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.collection.suites import suite_names
from pytest_gaia.errors import ConfigError
from pytest_gaia.plugin.checks.phases import EVIDENCE
from pytest_gaia.plugin.checks.result import Evaluator, Result
from pytest_gaia.plugin.launch import distributes, selects_nothing
from pytest_gaia.plugin.options import runs_no_tests
from pytest_gaia.run.session import Run
from pytest_gaia.run.workers import report_usage_error
from pytest_gaia.verdict.evidence import Shard
from pytest_gaia.verdict.plan import (
    LONGEST_HOURS,
    Plan,
    PlannedObjective,
    PlannedTest,
    assign,
    durations,
    groups,
    of_unplanned,
    read_plan,
    short,
    write_plan,
)
from pytest_gaia.verdict.report import expectations_digest
from pytest_gaia.wording import counted

if TYPE_CHECKING:
    # They import this module.
    from pytest_gaia.plugin.checks.observer import ObserverHooks
    from pytest_gaia.plugin.checks.scope import Scope

_SHARED = ("class", "module", "package")
"""scopes of fixtures that several tests share, but not all tests of the run"""


class PlanHooks:
    """Registered in the controller process if ``--gaia-plan-out`` is given."""

    def __init__(
        self, run: Run, evaluating: Evaluator, result: Result, observer: ObserverHooks, config: pytest.Config
    ) -> None:
        self.run = run
        self.evaluating = evaluating
        self.result = result
        self.observer = observer
        self.config = config
        self.path: Path = config.option.gaia_plan_out.absolute()
        _refuse_narrowing(run, config, observer.scope)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write the plan before anything else; from now on the run requires its tests."""
        if not session.items:
            why = "nothing was collected"
        elif session.testsfailed:
            why = "not everything could be collected"
        else:
            why = "; ".join(self.observer.partial())
        if why:
            raise pytest.UsageError(f"--gaia-plan-out={self.path}: {why}; a test plan must contain every test.")
        try:
            plan = plan_of(self.run, self.evaluating, self.config, session.items)
            write_plan(self.path, plan)
        except ConfigError as error:
            raise pytest.UsageError(str(error)) from None
        except OSError as error:
            raise pytest.UsageError(f"--gaia-plan-out={self.path}: cannot be written: {error.strerror}.") from None
        self.result.plan = plan


def plan_of(run: Run, evaluating: Evaluator, config: pytest.Config, items: Sequence[pytest.Item]) -> Plan:
    """Return the test plan of a run of ``items``. Raises ``ConfigError`` for an invalid file with durations."""
    environment = run.declared
    objectives = (
        PlannedObjective(slo.route, slo.percentile, slo.warn_ms, slo.fail_ms, slo.min_samples)
        for slo in environment.stage.slos
    )
    known = suite_names(run.roots)
    suites = {marker for item in items for marker in item.stash[EVIDENCE].subject.markers if marker in known}
    path: Path | None = config.option.gaia_durations
    return Plan(
        environment=environment.name,
        release=config.option.gaia_release or "",
        suites=tuple(sorted(suites)),
        tests=tuple(_planned(items, durations(path) if path else {})),
        objectives=tuple(sorted(objectives)),
        expectations_digest=expectations_digest(evaluating.expectations.expectations),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=run.commit,
    )


def _planned(items: Sequence[pytest.Item], seconds: Mapping[str, float]) -> Iterator[PlannedTest]:
    found = _groups(items)
    for item in items:
        subject, node = item.stash[EVIDENCE].subject, item.nodeid
        markers, services = tuple(sorted(subject.markers)), tuple(sorted(subject.services))
        yield PlannedTest(node, markers, services, found[node], seconds.get(node, 0.0))


def _groups(items: Sequence[pytest.Item]) -> dict[str, str]:
    """Return test → the tests that stay with it: a class, a file or a folder; empty if none.

    If one test of a file shares state, all tests of the file stay together.
    """
    found = {item.nodeid: _group(item) for item in items}
    together = set(found.values())
    for node, group in found.items():
        file = node.partition("::")[0]
        if file in together and (not group or group.startswith(f"{file}::")):
            found[node] = file
    return found


def _group(item: pytest.Item) -> str:
    # As of pytest-xdist.
    if (mark := item.get_closest_marker("xdist_group")) is not None:
        return f"@{mark.kwargs.get('name') or next(iter(mark.args), 'default')}"
    file = item.nodeid.partition("::")[0]
    if not isinstance(item, pytest.Function):
        return file
    # Only runs with a plan or a shard need it.
    from pytest_gaia.plugin.concurrency.private import signature

    scopes = {each.scope for definitions in signature(item)[2].values() for each in definitions}
    if "package" in scopes:
        return file.rpartition("/")[0] or "."
    needs = item.stash[EVIDENCE].traits.needs
    if scopes.intersection(_SHARED) or needs.serial or _has_state(item.function, item.module):
        return file
    return f"{file}::{item.cls.__qualname__}" if item.cls is not None else ""


def _has_state(function: Any, module: Any) -> bool:
    """Whether a test function sets a name of its module, or uses an object there that can change."""
    code = getattr(function, "__code__", None)
    names = code.co_names if code is not None else ()
    changeable = (dict, list, set, bytearray)
    # A name that the module does not have yet is set by a function: `global`.
    return any(isinstance(vars(module).get(name), changeable) for name in names) or _sets_global(code)


def _sets_global(code: Any) -> bool:
    return code is not None and any(each.opname == "STORE_GLOBAL" for each in get_instructions(code))


def read_required_plan(
    run: Run, evaluating: Evaluator, config: pytest.Config, shard: Shard | None = None
) -> Plan | None:
    """Return the plan of ``--gaia-plan``. Raises ``ConfigError`` if it is the plan of another run."""
    path: Path | None = config.option.gaia_plan
    if path is None:
        return None
    plan = read_plan(path)
    for what, theirs, ours in (
        ("environment", plan.environment, run.declared.name),
        ("release", plan.release, config.option.gaia_release or plan.release),
        ("set of expectations", plan.expectations_digest, expectations_digest(evaluating.expectations.expectations)),
        # The controller has compared it for its workers.
        ("commit", *((plan.commit, run.commit) if shard and not run.is_worker else ("", ""))),
    ):
        if theirs != ours:
            raise ConfigError(
                f"--gaia-plan={path}: created for another {what} ({short(theirs) or 'none'}; this run: {short(ours) or 'none'}). "
                "Create a plan for this run: pytest --collect-only --gaia-plan-out=FILE"
            )
    if shard:
        _refuse_old(path, plan)
    return plan


def _refuse_old(path: Path, plan: Plan) -> None:
    if plan.is_old:
        raise ConfigError(
            f"--gaia-plan={path}: created {plan.created or 'by an older version'}; shards need a plan of the last "
            f"{LONGEST_HOURS} hours. Create a new one: pytest --collect-only --gaia-plan-out=FILE"
        )


class Sharding:
    """The selection of the tests of one shard, where tests are collected."""

    def __init__(self, shard: Shard, plan: Plan | None, run: Run, config: pytest.Config) -> None:
        self.shard = shard
        self.plan = plan
        self.summary = ""
        """how many tests the shard has; empty before they are collected"""
        self._run = run
        self._config = config
        if plan is not None:
            self._refuse_more_than(groups(plan.tests))

    @classmethod
    def of(cls, run: Run, evaluating: Evaluator, config: pytest.Config) -> Sharding | None:
        """Return the selection of ``--gaia-shard``. Raises ``ConfigError`` for an invalid one."""
        option = config.option
        if not option.gaia_shard:
            if option.gaia_durations and not option.gaia_plan_out:
                raise ConfigError(
                    "--gaia-durations: balances shards; give it with --gaia-plan-out, or with --gaia-shard."
                )
            return None
        shard = Shard.parse(option.gaia_shard)
        for name, why in (
            ("plan_out", "a plan contains every test. Create it once, before the shards"),
            ("deploy", "each shard would deploy. Deploy once, before the shards"),
        ):
            if getattr(option, f"gaia_{name}"):
                raise ConfigError(f"--gaia-shard and --gaia-{name.replace('_', '-')} exclude each other: {why}.")
        if option.gaia_plan and option.gaia_durations:
            raise ConfigError("--gaia-durations: the plan has the durations. Give it with --gaia-plan-out.")
        plan = read_required_plan(run, evaluating, config, shard)
        if plan is not None:
            evaluating.today = plan.day
        return cls(shard, plan, run, config)

    def remove_others(self, items: list[pytest.Item]) -> list[pytest.Item]:
        """Remove the tests of other shards from ``items``; return them."""
        path: Path | None = self._config.option.gaia_durations
        try:
            tests = self.plan.tests if self.plan else tuple(_planned(items, durations(path) if path else {}))
            self._refuse_more_than(groups(tests))
        except ConfigError as error:
            if not self._run.is_worker:
                raise pytest.UsageError(str(error)) from None
            report_usage_error(self._config, str(error))
            items.clear()
            return []
        count = self.shard.count
        assigned = assign(tests, count)
        unplanned = [item for item in items if item.nodeid not in assigned]
        for node, group in _groups(items).items() if unplanned else ():
            assigned.setdefault(node, of_unplanned(group or node, count))
        own = [item for item in items if assigned[item.nodeid] == self.shard.index]
        others = [item for item in items if assigned[item.nodeid] != self.shard.index]
        self.summary = f"gaia: shard {self.shard}: {len(own)} of {counted(len(items), 'test')}"
        items[:] = own
        return others

    def _refuse_more_than(self, most: int) -> None:
        if self.shard.count > most:
            raise ConfigError(
                f"--gaia-shard={self.shard}: the tests can be divided into {most} shards at most, because tests that share "
                "state stay together."
            )


def _refuse_narrowing(run: Run, config: pytest.Config, scope: Scope) -> None:
    if not selects_nothing(config, run.roots) or scope.left_out():
        raise ConfigError(
            "--gaia-plan-out: a test plan contains every test of the environment, but this run selects a part of them "
            "(-k, -m, --deselect, --lf, a path below a suite's folder …). Create the plan without these options; give "
            "them to the run with --gaia-plan."
        )
    if distributes(config) and not runs_no_tests(config.option):
        raise ConfigError(
            "--gaia-plan-out: with workers, create the plan first: "
            "pytest --collect-only --gaia-plan-out=FILE, then pytest -n 2 --gaia-plan=FILE."
        )
