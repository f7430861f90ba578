"""What lint finds in rules that can all be read, decided on the tests that there are."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.expectations import lint as lint_module
from pytest_gaia.expectations.lint import lint
from pytest_gaia.expectations.subjects import Match
from tests.expectations.build import ENVIRONMENTS, TODAY, expectation, offers, removal, subject

if TYPE_CHECKING:
    from pytest_gaia.expectations.expectation import Expectation
    from pytest_gaia.expectations.lint import Finding

TESTS = [
    *(subject(f"suites/personas/test_crud.py::test_{name}", services=("chat",)) for name in "abc"),
    subject("suites/personas/test_more.py::test_d[x y]", services=("chat", "asset")),
    subject("suites/health/test_health.py::test_up", markers=("slow",)),
]


def found(*expectations: Expectation) -> list[Finding]:
    return lint(expectations, TESTS, ENVIRONMENTS, TODAY)


def checks(*expectations: Expectation) -> list[tuple[str, str]]:
    return [(each.check, each.expectation) for each in found(*expectations)]


def test_expectations_that_do_what_they_should_are_silent() -> None:
    assert (
        found(
            expectation("one", "suites/personas", max_failures=3),
            expectation("two", "suites/health/test_health.py"),
            expectation("carve-out", "suites/personas/test_crud.py::test_a", expect="pass", match=Match()),
        )
        == []
    )


@pytest.mark.parametrize(
    ("selector", "hint"),
    [
        ("suites/persona", "; did you mean suites/personas?"),
        ("suites/personas/test_crud.py::test_aa", "; did you mean suites/personas/test_crud.py::test_a?"),
        ("marker:slwo", "; did you mean marker:slow?"),
        ("service:nats", ""),
        ("suites/personas/test_more.py::test_d[x z]", "; did you mean suites/personas/test_more.py::test_d[x y]?"),
        ("zzz", ""),
        ("suites/people/test_crud.py", "; did you mean suites/personas/test_crud.py?"),
        ("suites/people/test_crud.py::test_a", "; did you mean suites/personas/test_crud.py::test_a?"),
        ("suites/people/test_more.py::test_d[x y]", "; did you mean suites/personas/test_more.py::test_d[x y]?"),
    ],
)
def test_an_expectation_about_no_test_is_unused_and_the_nearest_selector_is_named(selector: str, hint: str) -> None:
    (only,) = found(expectation("lost", selector))

    assert (only.level, only.check, only.text) == ("error", "unused", f"covers no test{hint}")


def test_a_renamed_folder_with_many_tests_gives_a_hint_for_the_first_of_many_stale_selectors() -> None:
    tests = [subject(f"suites/new/test_{n % 50}.py::test_a[{n}]") for n in range(1000)]
    stale = [expectation(f"e{n:03}", tests[n].node.replace("new", "old")) for n in range(100)]
    texts = [each.text for each in lint(stale, tests, ENVIRONMENTS, TODAY)]

    assert texts[:20] == [f"covers no test; did you mean {each.node}?" for each in tests[:20]]
    assert texts[20:] == ["covers no test"] * 80


def test_one_selector_of_several_that_covers_nothing_is_named() -> None:
    (only,) = found(expectation("half", "suites/personas/test_crud.py", "suites/personas/test_gone.py"))

    assert only.check == "unused-selector"
    assert only.text.startswith("suites/personas/test_gone.py covers no test; did you mean suites/personas/test_")


def test_two_expectations_that_say_the_same_are_duplicates_only_where_both_apply() -> None:
    one, two = expectation("one", "suites/health/test_health.py"), expectation("two", "suites/health/test_health.py")

    assert checks(one, two) == [("duplicate", "two")]
    assert checks(one, expectation("two", "suites/health/test_health.py", environments=("dev",))) == []
    assert checks(one, expectation("two", "suites/health/test_health.py", match=Match(status=(500,)))) == []


def test_an_expectation_that_others_always_precede_is_shadowed() -> None:
    broad = expectation("broad", "suites/health")
    narrow = expectation("narrow", "suites/health/test_health.py", max_failures=1)

    assert checks(broad, narrow) == [("shadowed", "broad"), ("no-limit", "broad")]


def test_an_expectation_that_others_precede_only_under_a_condition_overlaps() -> None:
    broad = expectation("broad", "suites/health", max_failures=1)
    narrow = expectation("narrow", "suites/health/test_health.py", when=(("chat", False),))
    (only,) = found(broad, narrow)

    assert (only.level, only.check) == ("warning", "overlap")
    assert only.text == "narrow takes precedence for 1 of its tests; ignore this if it is intended"


def test_expectations_whose_conditions_exclude_each_other_do_not_overlap() -> None:
    broad = expectation("broad", "suites/health", max_failures=1, when=(("chat", True),))
    narrow = expectation("narrow", "suites/health/test_health.py", when=(("chat", False),))

    assert found(broad, narrow) == []


def test_an_overlap_is_counted_in_tests() -> None:
    broad, narrow = (
        expectation("broad", "suites/personas", max_failures=4),
        expectation("narrow", "suites/personas/test_crud.py"),
    )

    assert [each.text for each in found(broad, narrow)] == [
        "narrow takes precedence for 3 of its tests; ignore this if it is intended"
    ]


def test_a_carve_out_hides_nothing_that_should_speak() -> None:
    broad = expectation("broad", "suites/personas", max_failures=3)
    carve_out = expectation("carve-out", "suites/personas/test_crud.py", expect="pass", match=Match())

    assert found(broad, carve_out) == []


def test_a_tie_that_disagrees_is_found_whatever_capability_it_takes() -> None:
    fails = expectation("one", "service:chat", max_failures=4, when=(("nats", True),))
    flaky = expectation("two", "service:asset", max_failures=1, when=(("chat", False),), expect="flaky")
    ties = [each for each in found(fails, flaky) if each.check == "conflict"]

    assert [each.expectation for each in ties] == ["one"]
    assert ties[0].text == (
        "equally specific expectations conflict for suites/personas/test_more.py::test_d[x y] in staging: one expects fail, two expects flaky"
    )


def test_conditions_that_together_leave_no_case_shadow_an_expectation() -> None:
    broad = expectation("broad", "suites/health", max_failures=1)
    node = "suites/health/test_health.py"
    narrow = [expectation(f"narrow-{there}".lower(), node, when=(("chat", there),)) for there in (True, False)]

    assert ("shadowed", "broad") in checks(broad, *narrow)
    assert ("shadowed", "broad") not in checks(broad, narrow[0])


def test_conditions_on_what_a_release_offers_decide_as_those_on_services_do() -> None:
    node = "suites/health/test_health.py"
    fails = expectation("one", node, when=(("nats", True),), offers=offers("GET /v1/a/{id}"))
    flaky = {
        name: expectation("two", node, expect="flaky", offers=offers(name, "GET /v2/b"))
        for name in ("GET /v1/a/{name}", "!GET /v1/a/{name}")
    }

    assert [checks(fails, each) for each in flaky.values()] == [[("conflict", "one")], []]
    assert checks(fails, expectation("two", node, when=(("nats", True),), offers=offers("GET /v1/a/{key}"))) == [
        ("duplicate", "two")
    ]
    assert checks(fails, expectation("two", node, when=(("nats", True),), offers=offers("!GET /v1/a/{id}"))) == []


def test_a_removal_covers_no_test_and_is_silent() -> None:
    assert found(removal("gone", "GET /v1/a", "chat: * /v1/*", max_failures=3), removal("other", "GET /v1/b")) == []


@pytest.mark.parametrize(
    ("patterns", "more", "expected"),
    [
        (["* /v1/*"], {}, ("no-limit", "gateway: * /v1/* covers any number of operations, and max_failures is not set")),
        (["GET /a", "GET /b"], {"max_failures": 3}, ("loose-limit", "max_failures is 3, but it covers only 2 operations")),
        (["* /a"], {"max_failures": 3}, None),
        (["GET /v1/*", "GET /v1/{id}"], {"max_failures": 3}, ("overlap", "gateway: GET /v1/* covers gateway: GET /v1/{id} too; remove the latter")),
        (["GET /v1/*", "POST /v1/{id}"], {"max_failures": 3}, None),
    ],
)  # fmt: skip
def test_a_removal_that_is_too_broad_is_pointed_out(
    patterns: list[str], more: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    assert [(each.level, each.check, each.text) for each in found(removal("gone", *patterns, **more))] == (
        [("warning", *expected)] if expected else []
    )


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (["GET /a"], ["GET /a"], ("duplicate", "two")),
        (["* /v1/*"], ["GET /v1/{id}", "POST /v1/b"], ("duplicate", "two")),
        (["GET /v1/{id}"], ["GET /v1/{name}", "GET /b"], ("duplicate", "one")),
        (["* /v1/*"], ["GET /v1/a", "GET /b"], ("overlap", "two")),
        (["GET /v1/*"], ["* /v1/a"], ("overlap", "two")),
        (["GET /v1/*"], ["POST /v1/*"], None),
        (["GET /v1/*"], ["GET /v2/*"], None),
        (["GET /v1/*"], ["chat: GET /v1/*"], None),
    ],
)
def test_operations_that_two_expectations_accept_are_found(
    one: list[str], other: list[str], expected: tuple[str, str] | None
) -> None:
    assert checks(removal("one", *one, max_failures=1), removal("two", *other, max_failures=1)) == (
        [expected] if expected else []
    )


def test_two_removals_that_never_apply_together_are_silent() -> None:
    one = removal("one", "GET /v1/a", offers=offers("GET /v2/a"))

    assert checks(one, removal("two", "GET /v1/a", offers=offers("!GET /v2/a"))) == []
    assert checks(one, removal("two", "GET /v1/a", environments=("production",))) == []
    # Without a condition, the other one accepts everything that this one does.
    assert checks(one, removal("two", "GET /v1/a")) == [("duplicate", "one")]


def test_a_removal_lives_as_long_as_its_environments_allow() -> None:
    old = removal(
        "old", "GET /a", environments=("production",), created=TODAY - timedelta(91), expires=TODAY + timedelta(30)
    )

    assert [(each.check, each.text) for each in found(old)] == [
        ("long-lived", "is valid for 121 days; the limit in production is 90")
    ]
    assert checks(removal("old", "GET /a", expires=TODAY)) == [("expired", "old")]


def test_the_work_does_not_double_with_each_service(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    possible = lint_module._possible

    def counted(*conditions: Any) -> bool:
        asked.append(conditions)
        return possible(*conditions)

    monkeypatch.setattr(lint_module, "_possible", counted)
    services = [f"service-{number}" for number in range(40)]
    tests = [subject(f"suites/s{number}/test_it.py::test_it", services=tuple(services)) for number in range(40)]
    many = [
        expectation(
            f"e{number}",
            f"service:{services[number % 40]}",
            max_failures=40,
            when=((services[(number + 7) % 40], number % 2 == 0), (services[number // 5], True)),
            match=Match(status=(400 + number,)),
        )
        for number in range(200)
    ]

    assert {each.check for each in lint(many, tests, ENVIRONMENTS, TODAY)} == set()
    # All expectations cover the same tests: one comparison for each of them, and for pairs that could conflict.
    assert len(asked) <= 200
    many.append(expectation("broad", "all", max_failures=40))
    assert {each.check for each in lint(many, tests, ENVIRONMENTS, TODAY)} == {"overlap"}


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (-1, ("error", "expired")),
        (0, ("error", "expired")),
        (1, ("warning", "expires-soon")),
        (7, ("warning", "expires-soon")),
        (8, None),
    ],
)
def test_the_end_of_an_expectation_is_announced_and_then_an_error(days: int, expected: tuple[str, str] | None) -> None:
    ending = expectation("ending", "suites/health/test_health.py", expires=TODAY + timedelta(days))

    assert [(each.level, each.check) for each in found(ending)] == ([expected] if expected else [])


def test_an_expired_expectation_is_not_called_shadowed_too() -> None:
    expired = expectation("expired", "suites/health/test_health.py", expires=TODAY)

    assert checks(expired, expectation("narrow", "suites/health/test_health.py::test_up")) == [("expired", "expired")]


def test_an_expectation_may_live_as_long_as_the_strictest_of_its_environments_allows() -> None:
    longest = ENVIRONMENTS["staging"].max_expectation_age_days
    lives = expectation("lives", "suites/health/test_health.py", created=TODAY, expires=TODAY + timedelta(longest))
    longer = expectation(
        "longer", "suites/health/test_health.py::test_up", created=TODAY, expires=TODAY + timedelta(longest + 1)
    )

    assert checks(lives) == []
    assert [(each.check, each.text) for each in found(longer)] == [
        ("long-lived", f"is valid for {longest + 1} days; the limit in staging is {longest}")
    ]


def test_an_expectation_of_tomorrow_is_pointed_out() -> None:
    assert checks(expectation("early", "suites/health/test_health.py", created=TODAY + timedelta(1))) == [
        ("created-in-future", "early")
    ]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("all", "all covers 5 tests, and max_failures is not set"),
        ("service:chat", "service:chat covers 4 tests, and max_failures is not set"),
        ("suites/personas", "suites/personas covers 4 tests, and max_failures is not set"),
        ("suites/personas/test_crud.py", None),
    ],
)
def test_a_broad_expectation_without_a_cap_is_pointed_out(selector: str, expected: str | None) -> None:
    assert [each.text for each in found(expectation("broad", selector))] == ([expected] if expected else [])


def test_a_cap_that_caps_nothing_is_pointed_out() -> None:
    assert checks(expectation("loose", "suites/personas", max_failures=5)) == [("loose-limit", "loose")]
    assert checks(expectation("tight", "suites/personas", max_failures=4)) == []


def test_tests_that_two_selectors_cover_are_counted_once() -> None:
    assert checks(expectation("twice", "suites/personas", "suites/personas/test_crud.py", max_failures=4)) == []


def test_errors_come_first() -> None:
    levels = [
        each.level
        for each in found(expectation("a", "all"), expectation("z", "zzz"), expectation("b", "suites/health"))
    ]

    assert levels == sorted(levels)
    assert set(levels) == {"error", "warning"}
