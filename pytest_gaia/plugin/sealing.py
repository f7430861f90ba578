"""Sealing a plan at the end of collection, and holding a run against one that was sealed before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.collection.suites import suite_names
from pytest_gaia.errors import ConfigError
from pytest_gaia.plugin.evidence import EVIDENCE
from pytest_gaia.plugin.launch import selects_nothing
from pytest_gaia.plugin.signs import only_looks
from pytest_gaia.verdict.report import policy_digest
from pytest_gaia.verdict.seal import Plan, PlannedObjective, PlannedTest, read_plan, write_plan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_gaia.plugin.judging import Judging
    from pytest_gaia.plugin.ledger import Scope
    from pytest_gaia.plugin.result import Result
    from pytest_gaia.plugin.witness import WitnessHooks
    from pytest_gaia.run.session import Run


class SealHooks:
    """Registered on the process that talks to the user, if ``--gaia-seal`` is given."""

    def __init__(
        self, run: Run, judging: Judging, result: Result, witness: WitnessHooks, config: pytest.Config
    ) -> None:
        self.run = run
        self.judging = judging
        self.result = result
        self.witness = witness
        self.config = config
        self.path: Path = config.option.gaia_seal.absolute()
        _refuse_narrowing(run, config, witness.scope)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write the plan before anything else happens; from here on the run owes what is in it."""
        if session.testsfailed or not session.items or (partial := self.witness.partial()):
            why = "not everything could be collected" if session.items else "nothing was collected"
            why = "; ".join(partial) if session.items and not session.testsfailed else why
            raise pytest.UsageError(f"--gaia-seal={self.path}: {why}; a plan of less than all proves nothing.")
        plan = plan_of(self.run, self.judging, session.items, self.config.option.gaia_bundle or "")
        try:
            write_plan(self.path, plan)
        except OSError as error:
            raise pytest.UsageError(f"--gaia-seal={self.path}: cannot be written: {error.strerror}.") from None
        self.result.plan = plan


def plan_of(run: Run, judging: Judging, items: Sequence[pytest.Item], bundle: str) -> Plan:
    """Return what a run of ``items`` owes."""
    environment = run.declared
    subjects = [(item.nodeid, item.stash[EVIDENCE].subject) for item in items]
    tests = (PlannedTest(node, tuple(sorted(s.markers)), tuple(sorted(s.services))) for node, s in subjects)
    objectives = (
        PlannedObjective(slo.route, slo.percentile, slo.warn_ms, slo.fail_ms, slo.least_samples)
        for slo in environment.stage.slos
    )
    known = suite_names(run.roots)
    suites = {marker for _, subject in subjects for marker in subject.markers if marker in known}
    return Plan(
        environment=environment.name,
        bundle=bundle,
        suites=tuple(sorted(suites)),
        tests=tuple(sorted(tests)),
        objectives=tuple(sorted(objectives)),
        policy=policy_digest(judging.rules.rules),
    )


def sealed_before(run: Run, judging: Judging, config: pytest.Config) -> Plan | None:
    """Return the plan that ``--gaia-plan`` names. Raises ``ConfigError`` for one that is not this run's."""
    path: Path | None = config.option.gaia_plan
    if path is None:
        return None
    plan = read_plan(path)
    for what, theirs, ours in (
        ("environment", plan.environment, run.declared.name),
        ("bundle", plan.bundle, config.option.gaia_bundle or plan.bundle),
        ("set of rules", plan.policy, policy_digest(judging.rules.rules)),
    ):
        if theirs != ours:
            raise ConfigError(
                f"--gaia-plan={path}: sealed for another {what} ({theirs[:12]}, this run's is {ours[:12]}). "
                "Seal a plan for this run: pytest --collect-only --gaia-seal=FILE."
            )
    return plan


def _refuse_narrowing(run: Run, config: pytest.Config, scope: Scope) -> None:
    if not selects_nothing(config, run.roots) or scope.left_out():
        raise ConfigError(
            "--gaia-seal: a plan holds everything that the environment runs by itself, and this run was told to leave "
            "something out (-k, -m, --deselect, --lf, --gaia-command, a path below a suite's folder …). Seal without "
            "that; what the run itself then leaves out is missing from it."
        )
    distributed = getattr(config.option, "numprocesses", None) or getattr(config.option, "tx", None)
    if distributed and not only_looks(config.option):
        raise ConfigError(
            "--gaia-seal: workers collect by themselves, so a plan is sealed before: "
            "pytest --collect-only --gaia-seal=FILE, then pytest -n 2 --gaia-plan=FILE."
        )
