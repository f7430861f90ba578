"""Random evidence from a small world, so that rules meet it often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from pytest_gaia.expectations.subjects import PHASES, Context, FailureDetails, Subject
from pytest_gaia.verdict.evidence import SCHEMA, Failure, Phase, RecordedRun, RunEnd, RunStart, TestRecord
from tests.expectations import strategies as expectations
from tests.expectations.build import TODAY

if TYPE_CHECKING:
    from pytest_gaia.expectations.expectation import Expectation
    from pytest_gaia.verdict.evidence import State

STATES: tuple[State, ...] = (*("ran",) * 12, "crashed", "not collected", "deselected", "never ran")
TEXTS = st.text(max_size=12)


def failure_of(details: FailureDetails, exception: str = "Error") -> Failure:
    """The results with this failure."""
    return Failure(
        details.kind,
        exception,
        details.message,
        details.status,
        details.service,
        details.via,
        details.route,
        details.method,
    )


def record_of(test: Subject, details: FailureDetails) -> TestRecord:
    """The record of ``test``, which failed with ``symptom`` and passed its other phases."""
    failed = Phase(details.phase, "failed", failure=failure_of(details))
    phases = tuple(failed if when == details.phase else Phase(when, "passed") for when in PHASES)
    return TestRecord(test.node, "ran", phases, markers=tuple(test.markers), services=tuple(test.services))


@st.composite
def failures(draw: st.DrawFn, when: str) -> Phase:
    """A phase that failed, with or without marks of pytest's own."""
    xfail = draw(st.sampled_from((None, None, None, None, "", "later")))
    against = xfail is None and draw(st.sampled_from((False, False, False, True)))
    return Phase(
        when, "failed", failure=failure_of(draw(expectations.details)), xfail=xfail, passed_against_xfail=against
    )


def phases(when: str) -> st.SearchStrategy[Phase]:
    """What one phase may have come to."""
    left_out = st.sampled_from(("passed", "skipped", "not applicable"))
    return st.one_of(failures(when), st.builds(Phase, st.just(when), left_out, reason=TEXTS))


def passing(*when: str) -> st.SearchStrategy[tuple[Phase, ...]]:
    """Phases that passed."""
    return st.just(tuple(Phase(each, "passed") for each in when))


HISTORIES = st.one_of(
    passing(*PHASES),
    passing(*PHASES),
    st.tuples(passing("setup"), failures("call").map(lambda phase: (phase,)), passing("teardown")).map(
        lambda parts: parts[0] + parts[1] + parts[2]
    ),
    st.lists(st.sampled_from((*PHASES, "call")), max_size=4).flatmap(lambda kinds: st.tuples(*map(phases, kinds))),
)
"""the phases of one test: a clean pass, a failure in the call, or anything"""


@st.composite
def records(draw: st.DrawFn) -> TestRecord:
    """One test, in any state, with any phases."""
    subject = draw(expectations.subjects)
    state = draw(st.sampled_from(STATES))
    return TestRecord(
        subject.node,
        state,
        draw(HISTORIES) if state == "ran" else (),
        markers=tuple(sorted(subject.markers)),
        services=tuple(sorted(subject.services)),
        core=draw(st.booleans()),
        attempt=draw(st.sampled_from((1, 1, 1, 2))),
        message=draw(TEXTS),
        statements=draw(st.sampled_from((0, 1, 1, 1))),
        offline=draw(st.sampled_from((False, False, False, True))),
    )


@dataclass(frozen=True)
class Case:
    """A results log, the expectations of a project, and the circumstances."""

    run: RecordedRun
    expectations: list[Expectation]
    context: Context


@st.composite
def ends(draw: st.DrawFn, count: int) -> RunEnd | None:
    """How a run of ``count`` tests may have ended."""
    if draw(st.sampled_from((True, *(False,) * 9))):
        return None
    return RunEnd(
        "2026-03-15T10:01:00+00:00",
        pytest_exit=draw(st.sampled_from((*(0,) * 9, 1, 1, 2, 5, 7))),
        planned=draw(st.sampled_from((*(count,) * 9, count + 1, 0))),
        complete=draw(st.booleans()),
        partial=draw(st.sampled_from((None, (), (), ("-k one was given",)))),
        full_required=draw(st.booleans()),
        unavailable=draw(st.sampled_from((*("",) * 9, "unreachable"))),
        changed=draw(st.sampled_from((*((),) * 9, ("gateway: version 0.3, it was 0.2",)))),
        undeployed=draw(st.sampled_from((*("",) * 9, "the deployment failed: gateway: failed"))),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Up to four tests under up to four expectations; each matches one failure except for at most one field."""
    tests = draw(st.lists(records(), max_size=4, unique_by=lambda each: (each.node, each.attempt, each.state)))
    circumstances = draw(expectations.contexts)
    failing = [expectations.Failed(*found, circumstances) for test in tests for found in failures_of(test)]
    failing = failing or [expectations.Failed(draw(expectations.subjects), draw(expectations.details), circumstances)]
    drawn = [
        draw(expectations.expectations(draw(st.sampled_from(failing)), f"rule-{n}"))
        for n in range(draw(st.integers(0, 4)))
    ]
    start = RunStart(
        SCHEMA, circumstances.environment, "full", f"{TODAY}T10:00:00+00:00", tuple(circumstances.capabilities)
    )
    return Case(RecordedRun(start, tuple(tests), draw(ends(len(tests)))), drawn, circumstances)


def failures_of(test: TestRecord) -> list[tuple[Subject, FailureDetails]]:
    """What a test is to selectors, and each of its failures."""
    subject = Subject(test.node, frozenset(test.markers), frozenset(test.services))
    failed = [phase for phase in test.phases if phase.outcome == "failed" and phase.failure]
    return [
        (
            subject,
            FailureDetails(
                phase.when, each.kind, each.message, each.status, each.service, each.via, each.route, each.method
            ),
        )
        for phase in failed
        if (each := phase.failure) is not None
    ]
