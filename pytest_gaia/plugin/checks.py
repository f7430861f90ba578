"""Hooks of the process that runs tests: which of them apply, what they may write, what their failures mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest

from pytest_gaia.collection.applicability import why_not
from pytest_gaia.collection.loops import settle_loops
from pytest_gaia.collection.needs import Needs, needs_of
from pytest_gaia.collection.selection import by_command, outside_default_suites
from pytest_gaia.collection.suites import mark_suites
from pytest_gaia.errors import ConfigError, NotApplicable, SandboxError, UnexpectedAnswer
from pytest_gaia.plugin.launch import selects_nothing
from pytest_gaia.report.exchanges import summary
from pytest_gaia.run.workers import tell_mistake
from pytest_gaia.verdict.defects import Defect, explaining, load_defects, require_known
from pytest_gaia.verdict.outcomes import KNOWN_DEFECT, NOT_APPLICABLE

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_gaia.run.session import Run

NEEDS: pytest.StashKey[Needs] = pytest.StashKey()
DEFAULT_SKIP: pytest.StashKey[str | None] = pytest.StashKey()


class CheckHooks:
    """Registered where tests run: in every xdist worker, or in the one process of a run without workers."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.defects = load_defects(run.roots)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Mark suites before ``-m`` looks at markers, read what each check needs, and apply ``--gaia-command``."""
        mark_suites(items, self.run.roots)
        default = selects_nothing(config, self.run.roots)
        try:
            settle_loops(items)
            for item in items:
                item.stash[NEEDS] = needs = needs_of(item)
                require_known(needs.defect, self.defects, item.nodeid)
                outside = outside_default_suites(item.path, self.run.roots, self.run.declared) if default else None
                item.stash[DEFAULT_SKIP] = outside
            if config.option.gaia_command:
                items[:], others = by_command(items, config.option.gaia_command)
                config.hook.pytest_deselected(items=others)
        except ConfigError as error:
            if not self.run.is_worker:
                raise pytest.UsageError(str(error)) from None
            # An exception would end the worker, and that looks like a crash. Without tests it ends in order.
            tell_mistake(config, str(error))
            items.clear()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Leave out what does not apply; let the test write only if it says that it does."""
        if reason := item.stash[DEFAULT_SKIP]:
            _not_applicable(reason)
        needs = item.stash[NEEDS]
        if needs != Needs():
            self._leave_out(needs)
        self.run.begin(needs)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self) -> Generator[None, object, object]:
        """A fixture may find that the environment lacks what it stands for."""
        return (yield from _turning_into_skips())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """A client may find only now that the environment lacks what was asked for."""
        return (yield from _turning_into_skips())

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Innermost wrapper: the terminal, ``-x``, ``--lf`` and JUnit all see the outcome as it is judged here."""
        report = yield
        reason = _reason(report)
        if reason and reason.startswith(_PREFIX):
            _name(report, NOT_APPLICABLE, reason.removeprefix(_PREFIX))
        elif report.failed:
            self._explain(item, call, report)
        return report

    def _leave_out(self, needs: Needs) -> None:
        try:
            environment = self.run.environment
        except SandboxError as error:
            pytest.fail(str(error), pytrace=False)
        if reason := why_not(needs, environment):
            _not_applicable(reason)

    def _explain(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """A failure is a known defect only if the check says so and the answer is that defect's very own."""
        error = call.excinfo.value if call.excinfo else None
        if report.when == "call" and isinstance(error, UnexpectedAnswer):
            defect = explaining(item.stash[NEEDS].defect, self.defects, error.exchange)
            if defect is not None:
                _excuse(item, report, defect)
                return
        if exchanges := self.run.recorder.exchanges:
            report.sections.append(("what the test exchanged with the platform", summary(exchanges)))


_PREFIX = "not applicable: "


def _turning_into_skips() -> Generator[None, object, object]:
    try:
        return (yield)
    except NotApplicable as reason:
        _not_applicable(str(reason))


def _not_applicable(reason: str) -> NoReturn:
    pytest.skip(f"{_PREFIX}{reason}")


def _reason(report: pytest.TestReport) -> str | None:
    """Return why a test was skipped, or None where it was not."""
    if report.skipped and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return None


def _excuse(item: pytest.Item, report: pytest.TestReport, defect: Defect) -> None:
    path, line, _ = item.location
    report.outcome = "skipped"
    report.longrepr = (path, (line or 0) + 1, f"{KNOWN_DEFECT}: {defect.id}: {defect.what}")
    _name(report, KNOWN_DEFECT, defect.id)


def _name(report: pytest.TestReport, outcome: str, reason: str) -> None:
    # Plain attributes, because those are what a report keeps on its way from an xdist worker to the controller.
    vars(report).update(gaia_outcome=outcome, gaia_reason=reason)
