"""Hooks of the processes that run tests: which tests apply, what they may write, how failures are classified."""

import gc
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress

import msgspec
import pytest
from msgspec.structs import replace

from pytest_gaia.clients.running import CURRENT, RUNNING, RunningTest
from pytest_gaia.collection.needs import by_command, not_applicable_reason, not_offered_reason, received_operations
from pytest_gaia.collection.suites import Places, TraitsReader, mark_suites, settle_loops, shuffled
from pytest_gaia.errors import ConfigError, NotSent, SandboxError
from pytest_gaia.expectations.apis import MISSING_ROUTE, lacking_reason
from pytest_gaia.expectations.subjects import write_subjects
from pytest_gaia.plugin.checks import phases
from pytest_gaia.plugin.checks.phases import EVIDENCE, DoesNotApply, Evidence, Masks, Showing, has_own
from pytest_gaia.plugin.checks.result import Evaluator
from pytest_gaia.plugin.checks.unnoticed import Watch, accept
from pytest_gaia.plugin.launch import distributes, selects_nothing
from pytest_gaia.plugin.masking import has_colours
from pytest_gaia.plugin.options import runs_no_tests
from pytest_gaia.plugin.terminal.failures import show_failure
from pytest_gaia.plugin.terminal.outcomes import has_subtests, name_subtests, show_not_sent
from pytest_gaia.run.session import Run
from pytest_gaia.run.workers import DESELECTED, LATE, report_usage_error, tell_network, tell_nodes, tell_reduced
from pytest_gaia.verdict.classify import failed_without, is_unnoticed, passed_without
from pytest_gaia.verdict.evidence import Failure, Phase
from pytest_gaia.verdict.gathering import Assembly


class CheckHooks:
    """Registered where tests run: in every xdist worker, or in the single process of a run without workers."""

    def __init__(self, run: Run, evaluating: Evaluator, assembly: Assembly | None) -> None:
        """``assembly`` receives the record of each test; None on a worker, which sends it with a report."""
        self.run = run
        self.evaluating = evaluating
        self._assembly = assembly
        self.latest: Evidence | None = None
        """results of the test with the latest report"""
        self._masks = Masks(run)
        self._basis = phases.Basis(run.options.rootdir)
        self._item: pytest.Item | None = None
        """the test with the latest report"""
        self._made = False
        """whether the latest report was created and classified here"""
        self.raised: pytest.ExceptionInfo[BaseException] | None = None
        """exception of the phase whose report is being created"""
        self._found: Phase | None = None
        """the phase, if it did not pass"""
        self._began = False
        """whether a test has started"""
        self.watch = Watch(run.recorder, run.roots, run.options.rootdir)
        self._unnoticed: tuple[Phase, ...] = ()
        """further failures of the phase whose report is being created; each is a phase of its own"""
        self._unnoticed_text = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Guard the network before code of the project runs, but in the sandbox, whose addresses are not known yet."""
        if not self.run.declared.sandbox:
            try:
                self.run.guard_network()
            except ConfigError as error:
                raise pytest.UsageError(str(error)) from None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Mark suites before ``-m`` evaluates markers, read the needs of each test, and apply ``--gaia-command``."""
        self._masks = Masks(self.run, colours=has_colours(config))
        try:
            self._prepare(config, items)
        except ConfigError as error:
            if not self.run.is_worker:
                raise pytest.UsageError(str(error)) from None
            # An exception in a worker looks like a crash. A worker without tests exits normally.
            report_usage_error(config, self._masks.text(str(error)))
            items.clear()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Prepare tests that other hooks have added; write the selectable tests if requested."""
        try:
            self._describe(session.config, [item for item in session.items if EVIDENCE not in item.stash])
        except ConfigError as error:
            # pytest calls this hook even after the hook above has raised this error.
            raise pytest.UsageError(str(error)) from None
        path = session.config.option.gaia_subjects
        if path is None or self.run.is_worker:
            return
        try:
            write_subjects(path, [item.stash[EVIDENCE].subject for item in session.items])
        except OSError as error:
            raise pytest.UsageError(f"--gaia-subjects={path}: cannot be written: {error.strerror}.") from None

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Keep deselected tests of a worker, for the controller at its end."""
        if self.run.is_worker and items:
            tell_nodes(items[0].config, DESELECTED, [item.nodeid for item in items])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Exclude the collected items, which stay until the end, from garbage collection.

        It would take 4 % of the time of ten thousand small tests.
        """
        if not runs_no_tests(session.config.option):
            if not distributes(session.config):
                self.watch.begin()
            gc.freeze()

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Find the failures that no test has, and let pytest find others among all objects; tell the controller."""
        self.run.late += map(self._masks.text, self.watch.end())
        gc.unfreeze()
        if self.run.network is not None:
            self.run.network.note_unseen()
            if distributes(session.config):
                # They are the workers.
                self.run.network.findings.children = 0
        if self.run.is_worker:
            tell_reduced(session.config, self.run)
            tell_network(session.config, self.run)
            tell_nodes(session.config, LATE, self.run.late)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Guard the network also against hooks of the project at the end."""
        if self.run.network is not None:
            self.run.network.end()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip the test if it does not apply; permit writes only if its marker has ``writes=True``."""
        if not self._began:
            self._began = True
            self._find_expected(item.session)
            with suppress(SandboxError):
                # Each test that needs the environment reports this.
                self.run.guard_network()
        evidence = self.latest if item is self._item and self.latest else self._turn_to(item)
        traits = evidence.traits
        if traits.left_out:
            raise DoesNotApply(traits.left_out)
        if traits.demanding:
            self._leave_out(evidence)
        self.run.begin(item.nodeid, traits.needs, evidence.started)
        self.run.require(traits.services)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        """Let a fixture of a wider scope than function serve the current test, also in its finalizer."""
        test = self.run.recorder.current
        before = self._basis.begin_fixture(test)
        token = None if fixturedef.scope == "function" else RUNNING.set(CURRENT)
        try:
            return (yield)
        finally:
            if token is not None:
                RUNNING.reset(token)
            self._basis.end_fixture(test, fixturedef, before)

    @pytest.hookimpl(wrapper=True, tryfirst=True, specname="pytest_runtest_makereport")
    def pytest_gaia_hand_over(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Outermost wrapper, after pytest's own xfail: hand over the results of a test with its last report."""
        evidence = self.latest if item is self._item and self.latest else self._turn_to(item)
        current = self.run.recorder.current
        if self.run.network is not None:
            self.run.network.collect(current)
        if call.excinfo is not None or current.not_sent or current.watched is not None:
            self._read(call, current)
        self._made = False
        report = yield
        if not self._made and (self.raised is not None or report.outcome != "passed"):
            # Another plugin has created the report.
            self._classify(item, call, report)
        # An exception keeps its frames alive, so it must not outlive its report.
        self.raised = None
        if self._found is None and report.outcome == "passed" and "wasxfail" not in report.__dict__:
            self._add_pass(evidence, item, call, report)
        else:
            self._add(evidence, item, call, report)
            self._add_unnoticed(report, evidence)
            self._masks.report(report)
        if call.when == "teardown":
            self._hand_over(item, report, evidence)
        elif evidence.must_fail and call.when == "call" and report.outcome == "passed" and not evidence.no_evidence:
            self._evaluate_pass(item, report, evidence)
        return report

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport:
        """Create the report below all wrappers, so that wrappers, terminal, JUnit and Allure see the outcome.

        A wrapper would cost each phase of each test more than everything else here.
        """
        report = pytest.TestReport.from_item_and_call(item, call)
        self._made = True
        # Hooks can add an exception (as for a unittest.TestCase).
        if call.excinfo is not None or self.raised is not None or report.outcome != "passed":
            self._classify(item, call, report)
        return report

    def _read(self, call: pytest.CallInfo[None], current: RunningTest) -> None:
        """Read what a phase has raised, as :func:`phases.raised_in` does, and what pytest has not noticed."""
        if call.excinfo is not None or current.not_sent:
            self.raised = call.excinfo = phases.raised_in(call, current.not_sent)
        if current.watched is not None:
            self._look_for_unnoticed(call)

    def _look_for_unnoticed(self, call: pytest.CallInfo[None]) -> None:
        """Find failures that pytest has not noticed. A phase that ended well fails; otherwise, they count in addition to its own."""
        error = call.excinfo.value if call.excinfo is not None else None
        if phases.under_way():
            # A subtest.
            accept(error)
            return
        # A skip hides what led to it.
        ended_by = None if isinstance(error, phases.SKIPS) else error
        found = self.watch.found(self.run.recorder.current, ended_by, call.when)
        if not found:
            return
        text = "\n\n".join(map(self.watch.text, found))
        first, *others = (
            phases.phase_of_unnoticed(each, call, self.watch.headline(each), self._masks) for each in found
        )
        if error is None or isinstance(error, phases.NO_FAILURES):
            self.raised = call.excinfo = phases.info_of(phases.Unnoticed(text, first))
            self._unnoticed = tuple(others)
        else:
            self._unnoticed, self._unnoticed_text = (first, *others), text

    def _add_unnoticed(self, report: pytest.TestReport, evidence: Evidence) -> None:
        """Add the failures that pytest has not noticed to a phase that has failed."""
        if not self._unnoticed:
            return
        exchanges, reason = evidence.phases[-1].exchanges, evidence.phases[-1].xfail
        for each in self._unnoticed:
            xfail = None if is_unnoticed(each) else reason
            evidence.add(replace(each, exchanges=exchanges, xfail=xfail))
            if not self._is_accepted(evidence, evidence.phases[-1]):
                # Neither a mark nor an expectation for the phase itself covers it.
                report.outcome = "failed"
                vars(report).pop("wasxfail", None)
        if self._unnoticed_text:
            report.sections.append(("other failures of the test", self._unnoticed_text))
        self._unnoticed, self._unnoticed_text = (), ""

    def _is_accepted(self, evidence: Evidence, phase: Phase) -> bool:
        """Whether a failure that pytest has not noticed does not block."""
        tolerated = self._is_tolerated(evidence, phase) and not is_unnoticed(phase)
        return tolerated or self.evaluating.classify_phase(evidence.subject, phase).accepted

    def _is_tolerated(self, evidence: Evidence, phase: Phase) -> bool:
        advisory = self.evaluating.context.tolerance.kind == "advisory"
        return advisory and phase.when == "call" and not evidence.traits.needs.core

    def applies(self, item: pytest.Item) -> bool:
        """Whether the environment has what a test needs. Not before the first test is set up."""
        evidence = item.stash[EVIDENCE]
        if evidence.traits.left_out:
            return False
        try:
            if evidence.traits.demanding:
                self._leave_out(evidence)
            self.run.require(evidence.traits.services)
        except (DoesNotApply, NotSent, pytest.fail.Exception):
            # Raised again at the turn of the test.
            return False
        return True

    def is_expected(self, item: pytest.Item, failure: Failure) -> bool:
        """Whether the failure of the current test may be expected, or the release does not offer what it requested."""
        evidence = item.stash[EVIDENCE]
        phase = Phase("call", "failed", failure=failure, exchanges=len(self.run.recorder.current.exchanges))
        not_offered = evidence.operations is None and self._failed_without(phase) is not None
        return not_offered or bool(self.evaluating.resolution(evidence.subject).covering)

    def _find_expected(self, session: pytest.Session) -> None:
        """Find out which tests are expected to fail; this costs less for all tests together than in each test.

        Not before the first test: a worker collects while the controller still observes the environment.
        """
        if any(expectation.expect == "fail" for expectation in self.evaluating.expectations.expectations):
            for evidence in filter(None, (item.stash.get(EVIDENCE, None) for item in session.items)):
                evidence.must_fail = self.evaluating.resolution(evidence.subject).expect == "fail"

    def _turn_to(self, item: pytest.Item) -> Evidence:
        if self._assembly is not None:
            self._assembly.settle()
        self._item, self.latest = item, item.stash[EVIDENCE]
        return self.latest

    def _classify(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        # Hooks can remove the exception.
        raised = call.excinfo or self.raised
        error = raised.value if raised else None
        if isinstance(error, NotSent):
            # pytest raises the error of a shared fixture again in each test that uses it.
            self.run.recorder.add_not_sent(error)
            show_not_sent(report, item.config)
        phase = phases.phase_of(report, call, error, self._masks)
        self._found = phase = replace(phase, exchanges=self.run.recorder.current.exchanged(call.when))
        if (showing := self._showing(item, report, phase)) is not None:
            showing.apply(item, report)
        elif phase.outcome == "failed":
            show_failure(report, error, self.run.recorder.current, item.config)
            if call.when == "call" and self.run.recorder.current.passes_alone:
                report.sections.append(phases.PASSES_ALONE)

    def _showing(self, item: pytest.Item, report: pytest.TestReport, phase: Phase) -> Showing | None:
        """Return how to show a phase that does not block; add the expectations that did not match to a blocking one."""
        if phase.outcome == "not applicable":
            return Showing("not applicable", phase.reason)
        if phase.outcome != "failed":
            return None
        if self.run.recorder.current.not_sent:
            return None
        evidence = item.stash[EVIDENCE]
        if evidence.operations is None and (reason := self._failed_without(phase)):
            return Showing("not applicable", reason)
        classify_phase = self.evaluating.classify_phase(evidence.subject, phase)
        if classify_phase.expectation is None and classify_phase.refusals:
            report.sections.append(("expectations", classify_phase.text))
        if not all(self._is_accepted(evidence, each) for each in self._unnoticed):
            return None
        tolerated = self._is_tolerated(evidence, phase) and not is_unnoticed(phase)
        return phases.showing_of(phase, report, classify_phase, tolerated=tolerated)

    def _failed_without(self, phase: Phase) -> str | None:
        """Return why a failed phase does not count: the release does not offer what it requested."""
        apis = self.evaluating.context.apis
        if not apis.now:
            return None
        operation = failed_without(phase, phases.wires(self.run.recorder.current.exchanges, self.run), apis)
        return lacking_reason([operation] if operation else [])

    def _passed_without(self, evidence: Evidence) -> str | None:
        """Return why a passed test does not count: the release does not offer what it requested."""
        exchanges = self.run.recorder.current.exchanges
        # A subtest reports while its test is still in its call.
        if all(each.status not in MISSING_ROUTE for each in exchanges) or phases.under_way():
            return None
        apis = self.evaluating.context.apis
        if not apis.now or evidence.operations is not None:
            return None
        return lacking_reason(passed_without(evidence.phases, phases.wires(exchanges, self.run), apis))

    def _prepare(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        self._describe(config, items)
        if self.run.shuffle_seed is not None:
            items[:] = shuffled(items, self.run.shuffle_seed)
        if config.option.gaia_command:
            items[:], others = by_command(items, config.option.gaia_command, self.run.declared.platform)
            config.hook.pytest_deselected(items=others)

    def _describe(self, config: pytest.Config, items: Sequence[pytest.Item]) -> None:
        run = self.run
        places = Places(run.roots, run.options.rootdir)
        mark_suites(items, places)
        settle_loops(items)
        declared = run.declared
        reader = TraitsReader(places, declared.platform, declared if selects_nothing(config, run.roots) else None)
        for item in items:
            traits = reader.of(item)
            item.stash[EVIDENCE] = Evidence(traits.subject(item.nodeid), traits)
        if any(map(has_subtests, items)):
            name_subtests(config, self._name_subtest, self._masks.text)

    def _leave_out(self, evidence: Evidence) -> None:
        needs = evidence.traits.needs
        try:
            environment = self.run.environment
        except SandboxError as error:
            pytest.fail(str(error), pytrace=False)
        if reason := not_applicable_reason(needs, environment):
            raise DoesNotApply(reason)
        evidence.operations = received_operations(needs, environment)
        if evidence.operations and (reason := not_offered_reason(evidence.operations, self.evaluating.context.apis)):
            raise DoesNotApply(reason)

    def _evaluate_pass(self, item: pytest.Item, report: pytest.TestReport, evidence: Evidence) -> None:
        # A subtest reports while its test is still in its call.
        if evidence.clean and not phases.under_way():
            expectations = self.evaluating.resolution(evidence.subject).effective_ids
            Showing("unexpected pass", expectations=tuple(expectations)).apply(item, report)

    def _add_pass(
        self, evidence: Evidence, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
    ) -> None:
        # Nearly every phase passes, so this path must be cheap.
        test = self.run.recorder.current
        exchanged = test.exchanged(call.when)
        evidence.phases += (Phase(call.when, "passed", call.duration, exchanges=exchanged),)
        if call.when == "call":
            test.called = test.completed.copy()
            if exchanged and evidence.clean and (reason := self._passed_without(evidence)):
                Showing("not applicable", reason).apply(item, report)
        if report.sections or report.user_properties:
            self._masks.report(report)
        if call.when == "call" and report.passed and not has_own(test):
            # Its own text is masked already.
            self._find_basis(item, report, evidence)

    def _find_basis(self, item: pytest.Item, report: pytest.TestReport, evidence: Evidence) -> None:
        """Find evidence of a passed test that itself completed nothing, or why there is none."""
        if evidence.traits.needs.offline or phases.under_way():
            return
        test = self.run.recorder.current
        evidence.fixtures = self._basis.fixtures(item, test)
        if not evidence.fixtures:
            evidence.no_evidence = self._masks.text(self._basis.why_none(item, test))
            report.sections.append(("evidence", evidence.no_evidence))
            Showing("without evidence").apply(item, report)

    def _add(
        self, evidence: Evidence, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
    ) -> None:
        found, self._found = self._found, None
        test = self.run.recorder.current
        phase = found or Phase(call.when, "passed", call.duration, exchanges=test.exchanged(call.when))
        evidence.add(phases.with_native_xfail(phase, report, self._masks))
        if found is None and call.when == "call" and report.outcome == "passed":
            # A pass against xfail.
            test.called = test.completed.copy()
            if not has_own(test):
                self._find_basis(item, report, evidence)

    def _name_subtest(self, message: str | None, values: Mapping[str, object]) -> None:
        if self.latest is not None and self.latest.phases:
            self.latest.name_subtest(message, values)

    def _hand_over(self, item: pytest.Item, report: pytest.TestReport, evidence: Evidence) -> None:
        passed = evidence.clean
        attempt = getattr(item, "execution_count", 1)
        running = self.run.recorder.current
        wires = phases.wires(running.exchanges, self.run, running.trace_id)
        record = evidence.hand_over(item.nodeid, attempt, wires, running, self.run.process)
        if self.run.network is not None:
            self.run.network.ended(running)
        self.run.recorder.end()
        if self._assembly is not None:
            self._assembly.complete(record, passed=passed)
        else:
            # xdist sends plain values only.
            vars(report)["gaia_test"] = msgspec.to_builtins(record)
