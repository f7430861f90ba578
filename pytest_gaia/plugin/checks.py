"""Hooks of the process that runs tests: which of them apply, what they may write, what their failures mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.collection.applicability import why_not
from pytest_gaia.collection.loops import settle_loops
from pytest_gaia.collection.needs import Needs, needs_of
from pytest_gaia.collection.selection import by_command, outside_default_selection
from pytest_gaia.collection.suites import Places, mark_suites
from pytest_gaia.errors import ConfigError, NotApplicable, SandboxError
from pytest_gaia.plugin import phases
from pytest_gaia.plugin.launch import selects_nothing
from pytest_gaia.plugin.phases import DoesNotApply, Evidence
from pytest_gaia.policy.subjects import Subject, write_subjects
from pytest_gaia.report.exchanges import summary
from pytest_gaia.run.workers import tell_deselected, tell_mistake

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from _pytest.subtests import SubtestContext

    from pytest_gaia.plugin.judging import Judging
    from pytest_gaia.run.session import Run
    from pytest_gaia.verdict.evidence import Phase

NEEDS: pytest.StashKey[Needs] = pytest.StashKey()
SUBJECT: pytest.StashKey[Subject] = pytest.StashKey()
DEFAULT_SKIP: pytest.StashKey[str | None] = pytest.StashKey()
EVIDENCE: pytest.StashKey[Evidence] = pytest.StashKey()
IN_CALL: pytest.StashKey[bool] = pytest.StashKey()


class CheckHooks:
    """Registered where tests run: in every xdist worker, or in the one process of a run without workers."""

    def __init__(self, run: Run, judging: Judging) -> None:
        self.run = run
        self.judging = judging
        self.latest = Evidence()
        """of the test that makes, or has made, the latest report"""
        self.raised: pytest.ExceptionInfo[BaseException] | None = None
        """in the phase of which a report is being made"""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Mark suites before ``-m`` looks at markers, read what each check needs, and apply ``--gaia-command``."""
        try:
            self._prepare(config, items)
        except ConfigError as error:
            if not self.run.is_worker:
                raise pytest.UsageError(str(error)) from None
            # An exception would end the worker, and that looks like a crash. Without tests it ends in order.
            tell_mistake(config, str(error))
            items.clear()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Look at what other hooks have added; write down what rules can select, if asked."""
        try:
            self._describe(session.config, [item for item in session.items if SUBJECT not in item.stash])
        except ConfigError as error:
            # pytest comes here even after the hook above has raised this very error.
            raise pytest.UsageError(str(error)) from None
        path = session.config.option.gaia_subjects
        if path is None or self.run.is_worker:
            return
        try:
            write_subjects(path, [item.stash[SUBJECT] for item in session.items])
        except OSError as error:
            raise pytest.UsageError(f"--gaia-subjects={path}: cannot be written: {error.strerror}.") from None

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """A worker's controller does not hear what was deselected: it is told when the worker ends."""
        if self.run.is_worker and items:
            tell_deselected(items[0].config, [item.nodeid for item in items])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Leave out what does not apply; let the test write only if it says that it does."""
        if reason := item.stash[DEFAULT_SKIP]:
            raise DoesNotApply(reason)
        needs = item.stash[NEEDS]
        if needs != Needs():
            self._leave_out(needs)
        self.run.begin(needs)

    @pytest.hookimpl(wrapper=True, specname="pytest_runtest_setup")
    def pytest_gaia_setup(self) -> Generator[None, object, object]:
        """A fixture may find that the environment lacks what it stands for; pytest raises it anew for each of its tests."""
        return (yield from _turning_into_skips())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """A client may find only now that the environment lacks what was asked for."""
        item.stash[IN_CALL] = True
        try:
            return (yield from _turning_into_skips())
        finally:
            item.stash[IN_CALL] = False

    @pytest.hookimpl(wrapper=True, tryfirst=True, specname="pytest_runtest_makereport")
    def pytest_gaia_hand_over(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Outermost wrapper: pytest's own xfail has spoken; with its last report, a test hands over its evidence."""
        evidence = self.latest = _evidence(item)
        self.raised = call.excinfo
        report = yield
        # An exception holds all its frames: it must not outlive its report.
        self.raised = None
        evidence.note_native_xfail(report, self._redact)
        # A subtest makes its report while its test is still in its call.
        if call.when == "call" and evidence.passed and not item.stash.get(IN_CALL, False):
            self._judge_pass(item, report)
        if report.when == "teardown":
            vars(report)["gaia_test"] = self._record(item, evidence)
            # The next test may be left out before it begins.
            self.run.recorder.clear()
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A subtest says its name only now, when its phase has been judged."""
        context: SubtestContext | None = getattr(report, "context", None)
        if context is not None:
            self.latest.name_subtest(context.msg, context.kwargs)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Innermost wrapper: the terminal, ``-x``, ``--lf``, JUnit and Allure all see the outcome as judged here."""
        report = yield
        # Hooks can take the exception away, or put it there (that of a unittest.TestCase).
        raised = call.excinfo or self.raised
        if report.passed and raised is None:
            self.latest.add_pass(call.when, call.duration)
        else:
            error = raised.value if raised else None
            self._judge_other(item, report, phases.phase_of(report, call, error, self._redact))
        return report

    def _redact(self, text: str) -> str:
        # Asked for only now: a test that passes may run before the sandbox is there.
        return self.run.redactor.text(text)

    def _judge_other(self, item: pytest.Item, report: pytest.TestReport, phase: Phase) -> None:
        self.latest.add(phase)
        if phase.outcome == "not applicable":
            phases.name_outcome(item, report, "not applicable")
        elif phase.outcome == "failed":
            self._judge_failure(item, report, phase)

    def _prepare(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        self._describe(config, items)
        if config.option.gaia_command:
            items[:], others = by_command(items, config.option.gaia_command)
            config.hook.pytest_deselected(items=others)

    def _describe(self, config: pytest.Config, items: Sequence[pytest.Item]) -> None:
        run = self.run
        places = Places(run.roots, run.options.rootdir)
        mark_suites(items, places)
        settle_loops(items)
        default = selects_nothing(config, run.roots)
        # Thousands of tests have the same few sets of markers.
        shared: dict[frozenset[str], frozenset[str]] = {}
        for item in items:
            item.stash[NEEDS] = needs = needs_of(item)
            names = frozenset(marker.name for marker in item.iter_markers()) | needs.flags
            item.stash[SUBJECT] = Subject(places.node(item), shared.setdefault(names, names), needs.services)
            suite = places.of(item).suite
            item.stash[DEFAULT_SKIP] = outside_default_selection(suite, needs, run.declared) if default else None

    def _leave_out(self, needs: Needs) -> None:
        try:
            environment = self.run.environment
        except SandboxError as error:
            pytest.fail(str(error), pytrace=False)
        if reason := why_not(needs, environment):
            raise DoesNotApply(reason)

    def _judge_failure(self, item: pytest.Item, report: pytest.TestReport, phase: Phase) -> None:
        excuse = self.judging.excuse(item.stash[SUBJECT], phase)
        if excuse.rule is not None:
            rule = excuse.rule
            phases.excuse_report(item, report, f"expected failure: {rule.id}: {rule.why}")
            phases.name_outcome(item, report, "expected failure", [rule.id])
            return
        if excuse.refusals:
            report.sections.append(("expectations", excuse.text))
        if self._tolerated(item, phase):
            phases.excuse_report(item, report, f"tolerated: {report.longreprtext}")
            phases.name_outcome(item, report, "tolerated")
        elif exchanges := self.run.recorder.exchanges:
            report.sections.append(("what the test exchanged with the platform", summary(exchanges)))

    def _tolerated(self, item: pytest.Item, phase: Phase) -> bool:
        open_environment = self.judging.context.tolerance.kind == "open"
        return open_environment and phase.when == "call" and not item.stash[NEEDS].core

    def _judge_pass(self, item: pytest.Item, report: pytest.TestReport) -> None:
        standing = self.judging.standing(item.stash[SUBJECT])
        if standing.expect == "fails":
            phases.name_outcome(item, report, "unexpected pass", [rule.id for rule in standing.winners])

    def _record(self, item: pytest.Item, evidence: Evidence) -> dict[str, object]:
        """The fields of a ``TestRecord``, as plain values."""
        subject = item.stash[SUBJECT]
        return {
            **evidence.hand_over(),
            "markers": tuple(subject.markers),
            "services": tuple(subject.services),
            "core": item.stash[NEEDS].core,
            "exchanges": phases.wires(self.run.recorder.exchanges),
            "attempt": getattr(item, "execution_count", 1),
            "subject": "" if subject.node == item.nodeid else subject.node,
        }


def _evidence(item: pytest.Item) -> Evidence:
    known = item.stash.get(EVIDENCE, None)
    if known is None:
        known = item.stash[EVIDENCE] = Evidence()
    return known


def _turning_into_skips() -> Generator[None, object, object]:
    try:
        return (yield)
    except NotApplicable as reason:
        raise DoesNotApply(str(reason)) from None
