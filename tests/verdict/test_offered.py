"""Tests of operations that a release does not offer: not applicable, gone, or what they were."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from pytest_gaia.config.tolerance import Tolerance, tolerance_of
from pytest_gaia.expectations.apis import Api, Apis, Baseline, NamedOperation
from pytest_gaia.expectations.expectation import Expectation, ExpectationSet
from pytest_gaia.report.footer import notes, verdict_line
from pytest_gaia.verdict.classify import GoneOperation
from pytest_gaia.verdict.evaluated import EvaluatedRun, evaluate_run
from pytest_gaia.verdict.evidence import Failure, Phase, TestRecord, Wire
from tests.expectations.build import EXPIRES, TODAY, context, expectation
from tests.verdict.runs import run

NOW = {"gateway": Api("sha256:1", ("GET /health", "GET /v2/orders"))}
BEFORE = Baseline(
    "release 1 in staging", {"gateway": Api("sha256:0", ("GET /health", "GET /v1/orders", "GET /v1/{id}"))}
)
ASSERTION = Failure("assertion", "AssertionError", "assert 1 == 2")


def wire(path: str, status: int = 404, **more: Any) -> Wire:
    return Wire("GET", path, "gateway", "direct", 0.01, status, **more)


def http(path: str, status: int = 404) -> Failure:
    return Failure("http", "UnexpectedResponse", "no", status, "gateway", "direct", path, "GET")


def of(
    *exchanges: Wire, node: str = "suites/a/test_a.py::test_one", failure: Failure | None = None, **more: Any
) -> TestRecord:
    """A test with these exchanges in its call, which failed if there is a ``failure``."""
    count = len(exchanges)
    call = Phase("call", "failed" if failure else "passed", failure=failure, exchanges=count)
    phases = (Phase("setup", "passed"), call, Phase("teardown", "passed", exchanges=count))
    return TestRecord(node, "ran", phases, exchanges, **more)


OK = of(wire("/health", 200), node="suites/a/test_a.py::test_ok")


def evaluated(
    *tests: TestRecord,
    baseline: Baseline | None = BEFORE,
    expectations: tuple[Expectation, ...] = (),
    tolerance: Tolerance | None = None,
) -> EvaluatedRun:
    recorded = run(OK, *tests)
    known = replace(
        context("staging"),
        apis=Apis(NOW, baseline),
        tolerance=tolerance or tolerance_of("staging", {"baseline": "optional"}),
    )
    return evaluate_run(recorded.start, recorded.tests, recorded.end, ExpectationSet(expectations), known)


def outcome(test: TestRecord, **more: Any) -> tuple[str, tuple[str, ...]]:
    found = evaluated(test, **more).classifications[1]
    return found.outcome, found.operations


@pytest.mark.parametrize(
    "test",
    [
        of(wire("/v1/orders"), failure=http("/v1/orders")),
        of(wire("/v1/orders"), failure=ASSERTION),
        of(wire("/v1/orders"), failure=Failure("error", "KeyError", "'orders'")),
        of(wire("/health", 200), wire("/v1/orders", 405), failure=ASSERTION),
        # The test accepts the 404 of a missing route.
        of(wire("/v1/orders")),
        of(wire("/health", 200), wire("/v1/orders")),
    ],
    ids=["status", "assertion", "error", "405", "vacuous pass", "partly vacuous pass"],
)
def test_a_test_of_what_the_release_does_not_offer_is_not_applicable(test: TestRecord) -> None:
    assert outcome(test) == ("not applicable", ("gateway: GET /v1/orders",))


@pytest.mark.parametrize(
    "test",
    [
        of(wire("/health"), failure=http("/health")),
        of(wire("/v1/orders", 500), failure=http("/v1/orders", 500)),
        # Another failure after a missing route.
        of(wire("/v1/orders"), wire("/health", 500), failure=http("/health", 500)),
        of(wire("/v1/orders"), wire("/health", 200), failure=ASSERTION),
        of(wire("/v1/orders"), failure=Failure("timeout", "TimeoutError", "5 s")),
        of(wire("/v1/orders"), failure=Failure("error", "UniqueViolation", "twice", sqlstate="23505")),
        of(wire("/v1/orders"), failure=Failure("error", "NoRespondersError", "none", reason="NoRespondersError")),
        of(failure=ASSERTION),
        # Requests to another server, and to a service without a document.
        of(wire("/v1/orders", address="127.0.0.1:9"), failure=http("/v1/orders")),
        of(Wire("GET", "/v1/orders", "kb", "direct", 0.01, 404), failure=ASSERTION),
        # Its earlier attempt failed in another way.
        of(wire("/v1/orders"), failure=ASSERTION, attempt=2, earlier=(Phase("call", "failed", failure=ASSERTION),)),
        # It states that it wants a path that does not exist.
        of(wire("/v1/orders"), failure=ASSERTION, operations=()),
    ],
    ids=[
        *("offered", "500", "500 after a 404", "assertion after a 404", "timeout", "SQL", "NATS", "no request"),
        *("another server", "no document", "retried", "operations=[]"),
    ],
)
def test_another_failure_never_hides_behind_a_missing_route(test: TestRecord) -> None:
    assert outcome(test) == ("failed", ())


def test_a_failure_in_the_teardown_is_not_covered_by_one_in_the_call() -> None:
    test = of(wire("/v1/orders"), failure=ASSERTION)
    broken = Phase("teardown", "failed", failure=Failure("error", "RuntimeError", "no"), exchanges=0)

    assert outcome(msgspec.structs.replace(test, phases=(*test.phases[:2], broken))) == ("failed", ())


def test_a_request_of_the_teardown_does_not_make_a_pass_void() -> None:
    test = of(wire("/health", 200))
    with_cleanup = msgspec.structs.replace(test, exchanges=(*test.exchanges, wire("/v1/orders")))

    assert outcome(with_cleanup) == ("passed", ())


def test_a_test_that_states_its_operations_is_decided_before_its_call() -> None:
    stated = ("gateway: GET /v1/orders", "gateway: GET /v2/orders")
    left_out = TestRecord("suites/a/test_a.py::test_one", "ran", (Phase("setup", "not applicable"),), operations=stated)

    assert outcome(left_out) == ("not applicable", ("gateway: GET /v1/orders",))
    assert outcome(of(wire("/v1/orders"), operations=stated)) == ("passed", ())


def test_an_operation_that_is_gone_blocks_once_and_is_listed_once() -> None:
    tests = [of(wire(f"/v1/{path}"), node=f"suites/a/test_a.py::test_{path}") for path in ("orders", "7", "8")]

    found = evaluated(*tests, of(wire("/v3"), node="suites/a/test_a.py::test_new"))

    assert (found.verdict.word, found.verdict.reasons) == ("REJECT", ("2 operations gone",))
    assert found.gone == (GoneOperation("gateway: GET /v1/{id}", 2), GoneOperation("gateway: GET /v1/orders", 1))
    assert verdict_line("staging", found) == (
        "gaia verdict: REJECT on staging: 2 operations gone, 1 passed, 4 not applicable"
    )
    text = "\n".join(notes(found))
    assert "not offered by this release: 4 tests need 3 operations" in text
    assert "2 operations gone since release 1 in staging, blocking" in text
    assert [text.count(each) for each in ("GET /v1/{id}", "GET /v1/orders", "GET /v3")] == [1, 1, 1]


def removed(*patterns: str, **more: Any) -> Expectation:
    return expectation(
        "v1-removed",
        expect="removed",
        operations=tuple(NamedOperation.of(each, "gateway", pattern=True) for each in patterns),
        **more,
    )


GONE = (of(wire("/v1/orders")), of(wire("/v1/7"), node="suites/a/test_a.py::test_two"))


def test_an_expectation_accepts_that_operations_are_gone() -> None:
    accepted = evaluated(*GONE, expectations=(removed("* /v1/*"),))

    assert accepted.verdict.word == "PROMOTE"
    assert [each.expectation for each in accepted.gone] == ["v1-removed", "v1-removed"]
    assert accepted.using(removed("* /v1/*")) == 2
    assert any("accepted by v1-removed" in line for line in notes(accepted))


@pytest.mark.parametrize(
    "expected",
    [
        removed("GET /v1/orders"),
        removed("* /v1/*", max_failures=1),
        removed("* /v1/*", environments=("dev",)),
        removed("* /v1/*", expires=TODAY),
        removed("* /v1/*", when=(("chat", True),)),
    ],
    ids=["one of two", "limit", "environment", "expired", "capability"],
)
def test_what_no_expectation_accepts_blocks(expected: Expectation) -> None:
    found = evaluated(*GONE, expectations=(expected,))

    assert found.verdict.word == "REJECT"
    assert expected.expires in (EXPIRES, TODAY)


def test_nothing_but_an_expectation_of_that_kind_accepts_it() -> None:
    broad = expectation("all", "all", expect="flaky")
    advisory = tolerance_of("dev", {"kind": "advisory"})

    assert evaluated(*GONE, expectations=(broad,), tolerance=advisory).verdict.word == "REJECT"


def test_without_a_baseline_it_is_not_known_whether_it_is_gone() -> None:
    required = tolerance_of("staging", {})

    assert evaluated(*GONE, baseline=None).verdict.word == "PROMOTE"
    held = evaluated(*GONE, baseline=None, tolerance=required)
    assert held.verdict.word == "HOLD"
    assert held.verdict.reasons[0].startswith(
        "2 tests did not apply, because this release does not offer what they need"
    )
    assert evaluated(baseline=None, tolerance=required).verdict.word == "PROMOTE"


def test_an_old_expectation_applies_only_while_the_release_offers_the_operation() -> None:
    here = replace(context("staging"), apis=Apis(NOW, BEFORE))
    offered, gone = (NamedOperation("gateway", "GET", path) for path in ("/v2/orders", "/v1/orders"))
    unknown = NamedOperation("kb", "GET", "/search")

    def reason(*offers: tuple[NamedOperation, bool]) -> str | None:
        return expectation("x", offers=offers).inapplicable(here)

    assert reason((offered, True)) is None
    assert reason((gone, False)) is None
    assert reason((gone, True)) == "requires that the release offers gateway: GET /v1/orders"
    assert reason((offered, False)) == "requires that the release does not offer gateway: GET /v2/orders"
    assert "the OpenAPI document of kb is not known" in str(reason((unknown, True)))
    assert "the OpenAPI document of kb is not known" in str(reason((unknown, False)))
