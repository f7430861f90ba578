"""Which of several expectations takes precedence for a test, and what is reported about the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.expectation import ExpectationSet
from pytest_gaia.expectations.subjects import Match
from tests.expectations.build import EXPIRES, TODAY, answered, context, expectation, subject

NODE = "suites/personas/test_crud.py::TestCreate::test_name[a]"
TEST = subject(NODE, markers=("experimental",), services=("chat",))
LADDER = (
    "all",
    "service:chat",
    "suites/personas",
    "suites/personas/test_crud.py",
    "suites/personas/test_crud.py::TestCreate",
    "suites/personas/test_crud.py::TestCreate::test_name",
    NODE,
)


@pytest.mark.parametrize("index", range(1, len(LADDER)))
def test_the_most_specific_selector_wins(index: int) -> None:
    broad, narrow = (
        expectation("broad", LADDER[index - 1], match=Match(status=(1,), via=("x",))),
        expectation("narrow", LADDER[index]),
    )
    resolution = ExpectationSet([narrow, broad]).resolution(TEST, context())

    assert resolution.effective == (narrow,)
    assert resolution.overridden == ((broad, "narrow takes precedence: it is more specific"),)


def test_of_equally_specific_expectations_the_one_with_more_conditions_wins() -> None:
    plain, bound = expectation("a", "suites/personas"), expectation("b", "suites/personas", when=(("chat", False),))
    resolution = ExpectationSet([plain, bound]).resolution(TEST, context())

    assert resolution.effective == (bound,)
    assert resolution.overridden == ((plain, "b takes precedence: it has more conditions"),)


def test_equal_expectations_that_agree_both_speak() -> None:
    one, other = (
        expectation("one", "service:chat"),
        expectation("other", "marker:experimental", match=Match(status=(404,))),
    )
    resolution = ExpectationSet([one, other]).resolution(TEST, context())

    assert resolution.effective == (one, other)
    assert resolution.expect == "fail"
    assert [each.id for each in resolution.effective if not each.refusal(answered(404))] == ["other"]


def test_an_expectation_that_does_not_apply_leaves_the_word_to_a_broader_one() -> None:
    broad = expectation("broad", "suites/personas")

    for narrow, reason in (
        (expectation("narrow", NODE, expires=TODAY), f"expired on {TODAY}"),
        (expectation("narrow", NODE, environments=("dev",)), "applies to dev only"),
        (expectation("narrow", NODE, when=(("chat", True),)), "requires chat, and chat was not observed"),
    ):
        resolution = ExpectationSet([broad, narrow]).resolution(TEST, context())
        assert resolution.effective == (broad,)
        assert resolution.overridden == ((narrow, reason),)


def test_an_expectation_switches_itself_off_where_its_capability_answers() -> None:
    bound = expectation("bound", NODE, when=(("chat", False),))
    expectations = ExpectationSet([bound])

    assert expectations.resolution(TEST, context("staging", "gateway")).effective == (bound,)
    assert expectations.resolution(TEST, context("staging", "chat")).overridden == (
        (bound, "requires !chat, and chat was observed"),
    )


@pytest.mark.parametrize("wanted", [False, True])
def test_what_is_not_known_accepts_nothing_and_lifts_no_carve_out(wanted: bool) -> None:
    bound = expectation("bound", NODE, when=(("chat", wanted),))
    carve_out = expectation("carve-out", NODE, when=(("chat", wanted),), expect="pass", match=Match())
    unknown = replace(context("staging", "gateway"), unknown=frozenset({"chat"}))

    needed = "chat" if wanted else "!chat"
    assert ExpectationSet([bound]).resolution(TEST, unknown).overridden == (
        (bound, f"requires {needed}, and it is unknown whether chat is reachable"),
    )
    assert ExpectationSet([carve_out]).resolution(TEST, unknown).effective == (carve_out,)


def test_an_expectation_applies_up_to_the_day_before_it_expires() -> None:
    expectations = ExpectationSet([expectation("short", NODE)])

    assert expectations.resolution(TEST, context(today=EXPIRES - timedelta(1))).effective
    assert not expectations.resolution(TEST, context(today=EXPIRES)).effective
    assert not expectations.resolution(TEST, context(today=date(2099, 1, 1))).effective


def test_nothing_speaks_where_the_tolerance_is_zero_even_if_named() -> None:
    named = expectation("named", NODE, environments=("production", "staging"))
    resolution = ExpectationSet([named]).resolution(TEST, context("production"))

    assert resolution.effective == ()
    assert resolution.overridden == ((named, "production has strict tolerance"),)


def test_a_carve_out_is_more_specific_and_accepts_nothing() -> None:
    broad = expectation("broad", "suites/personas")
    carve_out = expectation("carve-out", NODE, expect="pass", match=Match())
    resolution = ExpectationSet([broad, carve_out]).resolution(TEST, context())

    assert resolution.expect == "pass"
    assert [each.refusal(answered(503)) for each in resolution.effective] == [("expects pass, not a failure",)]


def test_a_tie_that_disagrees_has_no_winner_and_is_a_usage_error() -> None:
    fails, flaky = expectation("one", "service:chat"), expectation("other", "marker:experimental", expect="flaky")
    expectations = ExpectationSet([fails, flaky])
    resolution = expectations.resolution(TEST, context())

    assert resolution.effective == ()
    assert resolution.overridden == (
        (fails, "equally specific expectations conflict: other"),
        (flaky, "equally specific expectations conflict: one"),
    )
    with pytest.raises(ConfigError) as caught:
        expectations.check_conflicts([subject("suites/other/test_x.py::test_y"), TEST], context())
    message = str(caught.value)
    assert message.startswith(NODE)
    assert "one expects fail (suites/expectations/one.toml)" in message
    assert "other expects flaky" in message
    expectations.check_conflicts([TEST], context("dev"))


def test_a_more_specific_expectation_settles_a_tie() -> None:
    tie = [expectation("one", "service:chat"), expectation("other", "marker:experimental", expect="flaky")]
    resolution = ExpectationSet([*tie, expectation("settles", NODE)]).resolution(TEST, context())

    assert [each.id for each in resolution.effective] == ["settles"]
    assert [reason for _, reason in resolution.overridden] == ["settles takes precedence: it is more specific"] * 2


def test_an_expectation_with_several_selectors_speaks_through_its_most_specific_one() -> None:
    several = expectation("several", "all", NODE, "suites/other")

    resolution = ExpectationSet([several, expectation("function", LADDER[-2])]).resolution(TEST, context())

    assert resolution.effective == (several,)


@pytest.mark.parametrize(
    ("phases", "phase", "refusal"),
    [
        ({"call"}, "setup", ("phase setup, expected call",)),
        ({"call"}, "teardown", ("phase teardown, expected call",)),
        ({"teardown", "setup"}, "call", ("phase call, expected setup|teardown",)),
        ({"setup"}, "setup", ()),
    ],
)
def test_only_the_named_phase_is_accepted(phases: set[str], phase: str, refusal: tuple[str, ...]) -> None:
    assert expectation("r", "all", phases=frozenset(phases)).refusal(replace(answered(503), phase=phase)) == refusal


def test_tests_that_no_expectation_is_about_share_one_answer() -> None:
    expectations = ExpectationSet([expectation("r", NODE)])
    one = expectations.resolution(subject("suites/a.py::test_b"), context())

    assert (one.effective, one.overridden, one.expect) == ((), (), None)
    assert expectations.resolution(subject("suites/c.py::test_d"), context()) is one
