"""Failures that look alike become one draft, and no draft is a rule."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.apis import Api, Apis, Baseline, NamedOperation
from pytest_gaia.expectations.files import expectation_from
from pytest_gaia.expectations.subjects import FailureDetails, mismatch, parse_selector
from pytest_gaia.expectations.suggestions import (
    Draft,
    Failing,
    compressed,
    drafts,
    literal,
    patterns,
    removal,
    written,
)
from tests.expectations.build import ENVIRONMENTS, PLATFORM, TODAY, answered, context, operation, subject

PERSONAS = [f"suites/personas/test_crud.py::test_{name}" for name in ("a", "b", "c[x y]", "c[z]")]
OTHERS = ["suites/personas/test_more.py::test_d", "suites/health/test_health.py::test_up"]


def failing(node: str, details: FailureDetails | None = None, *, flaky: bool = False) -> Failing:
    return Failing("staging", subject(node), details or answered(503, route="/api/v1/personas"), flaky)


def drafted(*failures: Failing, executed: list[str] | None = None) -> list[Draft]:
    return drafts(failures, executed or [*PERSONAS, *OTHERS])


def test_failures_that_look_alike_become_one_draft_that_fits_them_all() -> None:
    failures = [failing(node) for node in PERSONAS]
    (draft,) = drafted(*failures)

    assert (draft.count, draft.tests) == (4, ("suites/personas/test_crud.py",))
    assert all(mismatch(draft.match, each.details) == () for each in failures)
    assert mismatch(draft.match, answered(500, route="/api/v1/personas")) == ("status 500, expected 503",)


def test_different_signatures_become_different_drafts_the_frequent_one_first() -> None:
    found = drafted(failing(PERSONAS[0], answered(404)), failing(PERSONAS[1]), failing(PERSONAS[2]))

    assert [(draft.match.status, draft.count) for draft in found] == [((503,), 2), ((404,), 1)]
    assert [draft.name for draft in found] == ["staging-chat-503", "staging-chat-404"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (answered(503), replace(answered(503), phase="setup")),
        (answered(503), answered(503, via="direct")),
        (answered(503), answered(503, service="asset")),
        (
            FailureDetails("call", "timeout", "no event within 5 s"),
            FailureDetails("call", "unreachable", "no event within 5 s"),
        ),
        (
            FailureDetails("call", "error", "x", sqlstate="42501"),
            FailureDetails("call", "error", "x", sqlstate="42P01"),
        ),
        (
            FailureDetails("call", "assertion", "the list is empty"),
            FailureDetails("call", "assertion", "the sum is wrong"),
        ),
    ],
)
def test_failures_that_look_different_are_kept_apart(one: FailureDetails, other: FailureDetails) -> None:
    assert len(drafted(failing(PERSONAS[0], one), failing(PERSONAS[1], other))) == 2


def test_messages_that_differ_in_numbers_and_names_are_alike() -> None:
    messages = ["the sum of 'usage' is 41.2, expected 40", "the sum of 'costs' is 7, expected 8"]
    details = [FailureDetails("call", "assertion", message) for message in messages]
    (draft,) = drafted(*(failing(node, details) for node, details in zip(PERSONAS, details, strict=False)))

    assert draft.match.kind == ("assertion",)
    assert draft.match.message == ("the sum of 'costs' is", "the sum of 'usage' is")
    assert all(mismatch(draft.match, details) == () for details in details)


@pytest.mark.parametrize(
    ("message", "piece"),
    [
        ("no event within 5.0 s on gaia.test.>", "s on gaia.test.>"),
        ("the list is empty\nassert []", "the list is empty"),
        ("assert 3 == 4", "assert 3 == 4"),
        ("", ""),
    ],
)
def test_the_piece_of_a_message_that_stays_is_its_signature(message: str, piece: str) -> None:
    assert literal(message) == piece


@pytest.mark.parametrize(
    ("message", "other"),
    [
        ("assert 1 == 2", "assert 1 == 3"),
        ("assert 'unhealthy' == 'healthy'", "assert 'gone' == 'healthy'"),
        ("KeyError: 'persona_id'", "KeyError: 'name'"),
        ("the response has no 'name', but 3 fields", "the response has no 'id', but 3 fields"),
    ],
)
def test_a_draft_does_not_accept_another_failure_of_its_kind(message: str, other: str) -> None:
    (draft,) = drafted(failing(PERSONAS[0], FailureDetails("call", "assertion", message)))

    assert mismatch(draft.match, FailureDetails("call", "assertion", message)) == ()
    assert mismatch(draft.match, FailureDetails("call", "assertion", other)) != ()


@pytest.mark.parametrize("message", ["", "assert 483920", "bad"])
def test_a_draft_for_a_failure_that_nothing_tells_apart_asks_for_its_message(message: str) -> None:
    (draft,) = drafted(failing(PERSONAS[0], FailureDetails("call", "assertion", message)))
    text = written(draft, TODAY, 90)

    assert tomllib.loads(text)["match"] == {"kind": "assertion", "message": ""}
    for key in ("reason", "issue", "owner"):
        text = text.replace(f'{key} = ""', f'{key} = "known"')
    with pytest.raises(ConfigError, match=r"match\.message: must not be empty"):
        expectation_from(text, f"{draft.name}.toml", ENVIRONMENTS, PLATFORM)


def test_a_draft_names_the_method_of_what_was_asked() -> None:
    (draft,) = drafted(failing(PERSONAS[0], replace(answered(500, route="/api/v1/personas"), method="DELETE")))

    assert (draft.match.route, draft.match.method) == (("/api/v1/personas",), ("DELETE",))


@pytest.mark.parametrize(
    ("message", "secret"),
    [
        ("the mail holds https://gaia.example/reset?code=Zk3qQz, not a link", "Zk3qQz"),
        ("the mail holds https://ada:sesameop@gaia.example/ as its link", "sesameop"),
        ("the code 483920 was refused", "483920"),
        ("assert 483920 == 1, whatever was sent before", "483920"),
        ("the invitation INV-7K2QXB is not valid", "7K2QXB"),
        ("the invitation XKQZPW is not valid", "XKQZPW"),
        ("not accepted: QmFzZUVuYRkZWRTdHJpbmdRdWl, and no other", "QmFzZUVuYRkZWRTdHJpbmdRdWl"),
        ("login failed, password: sesameop was refused", "sesameop"),
        ("login failed, the password 'sesameop' was refused", "sesameop"),
        ("refused: client_secret=sesameop is unknown", "sesameop"),
        ("bad key -----BEGIN PRIVATE KEY----- MC4CAQAwBQYDK2VwBCIEIJ", "MC4CAQAwBQYDK2VwBCIEIJ"),
        ("bad key\n-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ", "MC4CAQAwBQYDK2VwBCIEIJ"),
    ],
)
def test_no_draft_holds_what_looks_like_a_secret(message: str, secret: str) -> None:
    (draft,) = drafted(failing(PERSONAS[0], FailureDetails("call", "assertion", message)))

    assert secret not in written(draft, TODAY, 90)


@pytest.mark.parametrize("unit", ["x", "1", "{", "'", "[{'\"", "a1-", "aB", "a ", "=", "-----BEGIN "])
def test_a_message_of_any_length_has_a_piece(unit: str) -> None:
    # A pattern that tries every place and every length would not come back.
    assert len(literal(unit * 2_000_000)) < len(unit) * 2_000_000


def test_a_test_that_passed_too_is_drafted_as_flaky() -> None:
    assert [draft.expect for draft in drafted(failing(PERSONAS[0], flaky=True), failing(PERSONAS[1]))] == [
        "flaky",
        "fail",
    ]


@pytest.mark.parametrize(
    ("nodes", "selectors"),
    [
        (PERSONAS, ("suites/personas/test_crud.py",)),
        (PERSONAS[:1], (PERSONAS[0],)),
        (PERSONAS[2:], ("suites/personas/test_crud.py::test_c",)),
        (PERSONAS[2:3], (PERSONAS[2],)),
        ([*PERSONAS, OTHERS[0]], ("suites/personas",)),
        ([PERSONAS[0], PERSONAS[2], PERSONAS[3]], (PERSONAS[0], "suites/personas/test_crud.py::test_c")),
        ([*PERSONAS, *OTHERS], ("suites/personas", OTHERS[1])),
    ],
)
def test_selectors_cover_what_failed_and_nothing_else(nodes: list[str], selectors: tuple[str, ...]) -> None:
    executed = [*PERSONAS, *OTHERS]

    assert compressed(nodes, executed) == selectors
    covered = [node for node in executed if any(parse_selector(text).covers(subject(node)) for text in selectors)]
    assert sorted(covered) == sorted(nodes)


def test_a_draft_lacks_what_only_people_know_and_is_no_expectation() -> None:
    (draft,) = drafted(failing(PERSONAS[0]))
    text = written(draft, TODAY, 90)
    content = tomllib.loads(text)

    assert (content["reason"], content["issue"], content["owner"]) == ("", "", "")
    assert (content["max_failures"], content["environments"]) == (1, ["staging"])
    with pytest.raises(ConfigError, match="reason: must not be empty"):
        expectation_from(text, "staging-chat-503.toml", ENVIRONMENTS, PLATFORM)


def test_a_draft_that_was_filled_in_is_an_expectation_that_accepts_its_failures() -> None:
    failure = failing(PERSONAS[2])
    (draft,) = drafted(failure)
    text = written(draft, TODAY, 90)
    for key in ("reason", "issue", "owner"):
        text = text.replace(f'{key} = ""', f'{key} = "known"')
    expectation = expectation_from(text, f"{draft.name}.toml", ENVIRONMENTS, PLATFORM)

    assert expectation.selectors == (parse_selector(PERSONAS[2]),)
    assert expectation.refusal(failure.details) == ()
    assert (expectation.expires - TODAY).days == 28


@pytest.mark.parametrize(
    ("gone", "offered", "expected"),
    [
        (["GET /v1/a/{id}"], [], ["GET /v1/a/{id}"]),
        (["GET /v1/a", "POST /v1/a", "GET /v1/b/{id}"], ["GET /v2/a"], ["* /v1/*"]),
        (["GET /v1/a", "GET /v1/b"], ["POST /v1/a"], ["GET /v1/*"]),
        (["GET /v1/a", "GET /v1/b/c", "GET /v1/b/d"], ["GET /v1/x"], ["GET /v1/a", "GET /v1/b/*"]),
        (["GET /a", "GET /b"], [], ["GET /a", "GET /b"]),
        (["GET /a", "POST /a", "PUT /a"], ["DELETE /b"], ["* /a"]),
        (["GET /a/{id}", "PUT /a/{id}", "GET /a"], ["DELETE /a/{key}"], ["GET /a", "GET /a/{id}", "PUT /a/{id}"]),
        (["GET /v1/a", "chat: GET /v1/a", "chat: GET /v1/b"], ["GET /v1/b"], ["chat: GET /v1/*", "GET /v1/a"]),
    ],
)
def test_patterns_cover_what_is_gone_and_nothing_that_is_offered(
    gone: list[str], offered: list[str], expected: list[str]
) -> None:
    assert patterns(map(operation, gone), map(operation, offered)) == [operation(each) for each in expected]


paths = st.lists(st.sampled_from(["v1", "v2", "a", "{id}", "{key}"]), min_size=1, max_size=4).map("/".join)
operations = st.builds(
    NamedOperation, st.sampled_from(["a", "b"]), st.sampled_from(["GET", "PUT"]), paths.map("/{}".format)
)


@given(st.lists(operations, max_size=8), st.lists(operations, max_size=8))
def test_patterns_of_any_operations_are_exact(gone: list[NamedOperation], offered: list[NamedOperation]) -> None:
    known = {each.meaning for each in gone}
    others = [each for each in offered if each.meaning not in known]
    found = patterns(gone, others)

    assert all(any(pattern.covers(str(each)) for pattern in found) for each in gone)
    assert not any(pattern.covers(str(each)) for pattern in found for each in others)
    assert len(found) <= len(known)
    assert all(each.path != "/*" for each in found)


def test_one_draft_accepts_the_operations_that_are_gone_and_no_more() -> None:
    now = {"gateway": Api("sha256:0", ("GET /health", "GET /v2/a"))}
    before = {"gateway": Api("sha256:1", ("GET /health", "GET /v1/a", "GET /v1/a/{id}", "POST /v1/untested"))}
    gone = ["gateway: GET /v1/a", "gateway: GET /v1/a/{id}"]
    draft = removal(context("production", apis=Apis(now, Baseline("release 1", before))), gone)
    text = written(draft, TODAY, 90)

    assert text.startswith("# 2 operations are gone in production:\n# compared with release 1\n")
    assert tomllib.loads(text)["operations"] == ["gateway: GET /v1/*"]
    for key in ("reason", "issue", "owner"):
        text = text.replace(f'{key} = ""', f'{key} = "known"')
    found = expectation_from(text, f"{draft.name}.toml", ENVIRONMENTS, PLATFORM)
    assert (found.expect, found.max_failures, found.id) == ("removed", 2, "production-removed")
    assert all(map(found.covers, gone))


def test_a_draft_lives_no_longer_than_its_environment_allows() -> None:
    (draft,) = drafted(failing(PERSONAS[0]))

    assert tomllib.loads(written(draft, TODAY, 10))["expires"] == TODAY.replace(day=25)


def test_names_are_taken_once() -> None:
    one, other = answered(503), answered(503, via="direct")

    assert [draft.name for draft in drafted(failing(PERSONAS[0], one), failing(PERSONAS[1], other))] == [
        "staging-chat-503",
        "staging-chat-503-2",
    ]
