"""Reading expectations: every error names file, line, key and the right name."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.platform import Platform, Service
from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.apis import NamedOperation
from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.expectations.files import folders_of, load, read
from pytest_gaia.expectations.subjects import Match, parse_selector
from pytest_gaia.verdict.report import expectations_digest
from tests.expectations.build import ENVIRONMENTS, EXPECTATION, PLATFORM

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write one rule's file; returns the root of the project."""
    folder = tmp_path / "suites" / "expectations"
    folder.mkdir(parents=True)

    def one(text: str, name: str = "persona-cut-over.toml") -> Path:
        (folder / name).write_text(text, encoding="utf-8")
        return tmp_path

    return one


def expectations_of(root: Path) -> tuple[Expectation, ...]:
    return load(folders_of([root / "suites"]), ENVIRONMENTS, PLATFORM, rootdir=root).expectations


def usage_error_of(root: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        expectations_of(root)
    assert caught.value.exit_code == 4
    return str(caught.value)


def replaced(key: str, line: str) -> str:
    """The sample rule with the line of ``key`` replaced."""
    return "".join(f"{line}\n" if each.startswith(f"{key} =") else f"{each}\n" for each in EXPECTATION.splitlines())


def test_every_key_is_read(write: Write) -> None:
    text = replaced(
        "match",
        """expect = "flaky"
phase = ["setup", "call"]
when = { capability = ["!chat", "gateway"] }
match = { status = [404, 503], via = "gateway", message = "unavailable" }
max_failures = 8
justification = "a second service moved"
""",
    )
    text = text.replace('["suites/personas"]', '["suites/personas/", "service:chat"]')

    assert expectations_of(write(text)) == (
        Expectation(
            id="persona-cut-over",
            reason="personas are not deployed yet",
            issue="GAIA-412",
            owner="@persona-team",
            created=date(2026, 3, 1),
            expires=date(2026, 3, 28),
            environments=("staging",),
            selectors=(parse_selector("suites/personas"), parse_selector("service:chat")),
            expect="flaky",
            phases=frozenset({"setup", "call"}),
            when=(("chat", False), ("gateway", True)),
            match=Match(status=(404, 503), via=("gateway",), message=("unavailable",)),
            max_failures=8,
            justification="a second service moved",
        ),
    )


def test_what_is_left_out_has_the_documented_default(write: Write) -> None:
    (expectation,) = expectations_of(write(EXPECTATION))

    assert (expectation.expect, expectation.phases, expectation.when, expectation.max_failures) == (
        "fail",
        frozenset({"call"}),
        (),
        None,
    )
    assert expectation.place == "suites/expectations/persona-cut-over.toml"


def test_tables_may_be_written_out(write: Write) -> None:
    inline, spelled = EXPECTATION, replaced("match", "[match]\nstatus = 503\n")

    assert expectations_of(write(inline)) == expectations_of(write(spelled))


@pytest.mark.parametrize(
    ("key", "line", "expected"),
    [
        ("reason", 'raeson = "x"', ":1: required keys are missing: `reason`."),
        ("reason", 'reason = " "', ":1: reason: must not be empty"),
        ("reason", "reason = 3", ":1: reason: expected a string, got a number"),
        ("reason", "", ":1: required keys are missing: `reason`."),
        ("owner", "", ":1: required keys are missing: `owner`."),
        ("owner", 'owner = ""', ":3: owner: must not be empty"),
        ("issue", 'issue = "GAIA-412', ":2: not valid TOML"),
        ("created", 'created = "2026-03-01"', ":4: created: expected a date, such as 2030-01-31, got a string"),
        ("created", "created = 2026-03-01T10:00:00Z", ":4: created: expected a date, such as 2030-01-31, got a date with a time"),
        ("created", "created = 2026-02-30", ":4: not valid TOML"),
        ("expires", "expires = 2026-03-01", ":5: expires: 2026-03-01 is not after `created`, 2026-03-01."),
        ("environments", 'environments = ["stagign"]', ":6: environments: unknown environment 'stagign'; did you mean stag"),
        ("environments", 'environments = ["production"]', ":6: environments: production has strict tolerance; an expectation of f"),
        ("environments", "environments = []", ":6: environments: must not be an empty list"),
        ("environments", 'environments = "staging"', ":6: environments: expected a list, got a string"),
        ("environments", 'environments = ["dev", "dev"]', ":6: environments: 'dev' is listed twice"),
        ("tests", "", ":1: required keys are missing: `tests`."),
        ("tests", "tests = []", ":7: tests: must not be an empty list"),
        ("tests", 'operations = "gateway: GET /x"', ":7: operations: requires expect = \"removed\"."),
        ("match", 'match = { status = 503 }\noperations = "GET /x"', ":9: operations: has no effect with expect = 'fail'; remove"),
        ("match", 'match = { status = 503 }\nwhen = { offers = "chat: * /x" }', ":9: when.offers: 'chat: * /x' is not an oper"),
        ("match", 'match = { status = 503 }\nwhen = { offers = "chat: GET /x/*" }', ":9: when.offers: 'chat: GET /x/*' contains"),
        ("match", 'match = { status = 503 }\nwhen = { offers = "cht: GET /x" }', ":9: when.offers: unknown service 'cht'; did you"),
        ("match", 'match = { status = 503 }\nwhen = { offers = ["GET /x", "gateway: GET /x"] }', ":9: when.offers: 'gateway: GET"),
        ("match", 'match = { status = 503 }\nwhen = { offers = ["GET /{a}", "!GET /{b}"] }', ":9: when.offers: 'gateway: GET /{a}"),
        ("tests", 'tests = [\n  "suites/a",\n  "suites/*",\n]', ":7: tests: 'suites/*' contains a wildcard"),
        ("tests", 'tests = ["service:chta"]', ":7: tests: unknown service 'chta'; did you mean chat?"),
        ("tests", 'tests = ["suites/a", "suites/a"]', ":7: tests: 'suites/a' is listed twice"),
        ("match", "", ":1: expect: 'fail' needs a `match`"),
        ("match", "match = {}", ":1: expect: 'fail' needs a `match`"),
        ("match", 'expect = "flaky"', ":8: expect: 'flaky' needs a `match`"),
        ("match", 'expect = "failing"', ":8: expect: unknown value 'failing'; did you mean fail? Known: fail, flaky, pass, removed, skip"),
        ("match", "match = 503", ":8: match: expected a table, got a number"),
        ("match", "match = { sttus = 503 }", ":8: match.sttus: unknown key; did you mean status?"),
        ("match", "match = { status = true }", ":8: match.status: expected a whole number or a list, got true or false"),
        ("match", "match = { status = 42 }", ":8: match.status: expected a whole number >= 100"),
        ("match", 'match = { kind = "htp" }', ":8: match.kind: unknown value 'htp'; did you mean http? Known: assertion, background, direct connection, error"),
        ("match", 'match = { method = "get" }', ":8: match.method: unknown value 'get'"),
        ("match", 'match = { via = "direkt" }', ":8: match.via: unknown value 'direkt'; did you mean direct?"),
        ("match", 'match = { service = ["chat", "aset"] }', ":8: match.service: unknown service 'aset'; did you mean asset?"),
        ("match", 'match = { reason = "" }', ":8: match.reason: must not be empty"),
        ("match", 'match = { nats = "" }', ":8: match.reason: must not be empty"),
        ("match", 'match = { message = "" }', ":8: match.message: must not be empty"),
        ("match", 'match = { route = "api" }', ":8: match.route: 'api' is not a path template"),
        ("match", 'match = { sqlstate = "4250" }', ":8: match.sqlstate: '4250' is not a SQLSTATE"),
        ("match", "[match]\nstatus = 503\nvia = 3", ":10: match.via: expected a string"),
        ("match", 'expect = "pass"\nmatch = { status = 503 }', ":9: match.status: has no effect with expect = 'pass'"),
        ("match", 'expect = "pass"\nphase = "call"', ":9: phase: has no effect with expect = 'pass'"),
        ("match", 'expect = "pass"\nmax_failures = 3', ":9: max_failures: has no effect with"),
        ("match", 'expect = "skip"\nmatch = { kind = "http" }', ":9: match.kind: has no effect with expect = 'skip'"),
        ("expires", 'expires = 2026-03-28\nphase = "cal"', ":6: phase: unknown value 'cal'; did you mean call?"),
        ("expires", "expires = 2026-03-28\nphase = []", ":6: phase: must not be an empty list"),
        ("expires", "expires = 2026-03-28\nmax_failures = 0", ":6: max_failures: expected a whole number >= 1"),
        ("expires", "expires = 2026-03-28\nmax_failures = 1.5", ":6: max_failures: expected a whole number, got a number"),
        ("expires", 'expires = 2026-03-28\njustification = ""', ":6: justification: must not be empty"),
        ("expires", 'expires = 2026-03-28\nwhen = { capability = "!cht" }', ":6: when.capability: unknown service 'cht'; did"),
        ("expires", 'expires = 2026-03-28\nwhen = { capability = ["chat", "!chat"] }', ":6: when.capability: 'chat' and '!chat'"),
        ("expires", 'expires = 2026-03-28\nwhen = { capable = "chat" }', ":6: when.capable: unknown key; did you mean capability?"),
    ],
)  # fmt: skip
def test_a_usage_error_names_file_line_key_and_the_right_name(write: Write, key: str, line: str, expected: str) -> None:
    message = usage_error_of(write(replaced(key, line)))

    assert message.startswith(f"suites/expectations/persona-cut-over.toml{expected}")
    assert "\n" not in message or line.startswith("raeson")


REMOVED = """\
expect = "removed"
operations = ["GET /v1/personas/{id}", "chat: * /v1/*"]
"""


def removed(**lines: str) -> str:
    """A file that accepts that operations are gone; ``lines`` replace the values of keys, or add keys."""
    head = "".join(line for line in EXPECTATION.splitlines(keepends=True) if not line.startswith(("tests", "match")))
    keys = dict(line.split(" = ", 1) for line in f"{head}{REMOVED}".splitlines()) | lines
    return "".join(f"{key} = {value}\n" for key, value in keys.items() if value)


def test_operations_that_are_gone_are_read_in_every_environment(write: Write) -> None:
    (found,) = expectations_of(
        write(
            removed(environments='["production"]', max_failures="3", when='{ offers = ["GET /v2/a", "!chat: GET /b"] }')
        )
    )

    assert (found.expect, found.selectors, found.max_failures, found.environments) == (
        "removed",
        (),
        3,
        ("production",),
    )
    assert found.operations == (
        NamedOperation("gateway", "GET", "/v1/personas/{id}"),
        NamedOperation("chat", "*", "/v1/*"),
    )
    assert found.offers == (
        (NamedOperation("gateway", "GET", "/v2/a"), True),
        (NamedOperation("chat", "GET", "/b"), False),
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ({"operations": ""}, ":1: required keys are missing: `operations`."),
        ({"operations": "[]"}, ":8: operations: must not be an empty list."),
        ({"operations": '"cht: GET /x"'}, ":8: operations: unknown service 'cht'; did you mean chat?"),
        ({"operations": '"postgres: GET /x"'}, ":8: operations: postgres is not an HTTP service; Known: asset"),
        ({"operations": '"get /x"'}, ":8: operations: 'get /x' is not an operation, such as 'GET /orders/{id}'"),
        ({"operations": '"GET x"'}, ":8: operations: 'GET x' is not an operation"),
        ({"operations": '"GET /x?a=b"'}, ":8: operations: 'GET /x?a=b' is not an operation"),
        ({"operations": '"GET /x/*/y"'}, ":8: operations: 'GET /x/*/y' contains '*', which is allowed at its end only."),
        ({"operations": '"chat: * /*"'}, ":8: operations: 'chat: * /*' covers the whole API of chat; name a path"),
        ({"operations": '["GET /{a}/x", "gateway: GET /{b}/x"]'}, ":8: operations: 'gateway: GET /{b}/x' is listed twice."),
        ({"tests": '["suites/a"]'}, ":9: tests: has no effect with expect = 'removed'; remove it."),
        ({"match": "{ status = 404 }"}, ":9: match.status: has no effect with expect = 'removed'; remove it."),
        ({"phase": '"call"'}, ":9: phase: has no effect with expect = 'removed'; remove it."),
        ({"when": '{ capability = "chat" }'}, ":9: when.capability: has no effect with expect = 'removed'; remove it."),
        ({"when": '{ offers = "GET /v1/personas/{name}" }'}, ":9: when.offers: 'gateway: GET /v1/personas/{name}' is also"),
    ],
)  # fmt: skip
def test_a_usage_error_about_operations_names_the_place(write: Write, lines: dict[str, str], expected: str) -> None:
    message = usage_error_of(write(removed(**lines)))

    assert message.startswith(f"suites/expectations/persona-cut-over.toml{expected}")
    assert "\n" not in message


def test_an_operation_without_a_service_needs_an_entry(write: Write) -> None:
    root = write(removed(operations='"GET /x"'))
    shop = Platform({"orders": Service("orders")})
    (problem,) = read(folders_of([root / "suites"]), ENVIRONMENTS, shop, rootdir=root).problems

    assert problem.endswith(":8: operations: 'GET /x' has no service; write it as 'orders: GET /orders'.")


@pytest.mark.parametrize("name", ["Persona.toml", "persona_cut.toml", "-a.toml", "a--b.toml", "a b.toml"])
def test_a_file_is_named_in_kebab_case(write: Write, name: str) -> None:
    assert f"suites/expectations/{name}:1: name the file with lower-case" in usage_error_of(write(EXPECTATION, name))


def test_a_file_that_is_not_utf_8_is_named(write: Write) -> None:
    root = write(EXPECTATION)
    (root / "suites/expectations/persona-cut-over.toml").write_bytes(b'reason = "\xff"')

    assert "persona-cut-over.toml: not UTF-8 (byte 10)" in usage_error_of(root)


def test_one_id_in_two_folders_is_a_usage_error(write: Write) -> None:
    root = write(EXPECTATION)
    (root / "more").mkdir()
    (root / "more/persona-cut-over.toml").write_text(EXPECTATION)

    with pytest.raises(
        ConfigError, match=r"more/persona-cut-over\.toml:1: the expectation persona-cut-over is also defined in suites"
    ):
        load([root / "suites/expectations", root / "more"], ENVIRONMENTS, PLATFORM, rootdir=root)


def test_all_problems_of_all_files_are_reported(write: Write) -> None:
    write(EXPECTATION, "b.toml")
    write(replaced("reason", "raeson = 1"), "a.toml")
    root = write(replaced("owner", ""), "c.toml")
    reading = read(folders_of([root / "suites"]), ENVIRONMENTS, PLATFORM, rootdir=root)

    assert [expectation.id for expectation in reading.expectations] == ["b"]
    assert [usage_error.partition(":")[0].rpartition("/")[2] for usage_error in reading.problems] == [
        "a.toml",
        "a.toml",
        "c.toml",
    ]
    assert usage_error_of(root).splitlines() == list(reading.problems)


def test_drafts_and_other_files_are_not_read(write: Write) -> None:
    write('reason = ""', "a.draft.toml")
    root = write("not an expectation", "README.md")
    (root / "suites/expectations/drafts").mkdir()
    (root / "suites/expectations/drafts/b.toml").write_text("reason = 1")

    assert expectations_of(root) == ()


def test_a_project_without_expectations_has_an_empty_set(tmp_path: Path) -> None:
    assert folders_of([tmp_path]) == ()
    assert load((), ENVIRONMENTS, PLATFORM, rootdir=tmp_path).expectations == ()


OLD_NAMES = (
    ("reason =", "why ="),
    ("created =", "added ="),
    ("match = { ", 'expect = "fails"\nmax_tests = 8\nwidened = "x"\nmatch = { nats = "NoRespondersError", '),
)


def test_old_names_are_accepted_with_a_notice(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pytest_gaia.wording._printed", set())
    text = EXPECTATION
    for new, old in OLD_NAMES:
        text = text.replace(new, old)

    (expectation,) = expectations_of(write(text))

    assert (expectation.expect, expectation.max_failures, expectation.justification) == ("fail", 8, "x")
    assert expectation.match == Match(status=(503,), reason=("NoRespondersError",))
    assert [line.partition("persona-cut-over.toml")[2] for line in capsys.readouterr().err.splitlines()] == [
        ":1: the key `why` is now `reason`; the old name will be removed in 0.4.",
        ":4: the key `added` is now `created`; the old name will be removed in 0.4.",
        ':8: expect = "fails" is now expect = "fail"; the old name will be removed in 0.4.',
        ":9: the key `max_tests` is now `max_failures`; the old name will be removed in 0.4.",
        ":10: the key `widened` is now `justification`; the old name will be removed in 0.4.",
        ":11: the key `nats` is now `reason`; the old name will be removed in 0.4.",
    ]


def test_the_services_are_those_of_the_project(write: Write) -> None:
    write(EXPECTATION.replace('["suites/personas"]', '["service:orders"]\nwhen = { capability = "!billing" }'))
    root = write(EXPECTATION.replace("status = 503", 'status = 503, service = "chat"'), "other.toml")
    shop = Platform({name: Service(name) for name in ("orders", "billing")})
    reading = read(folders_of([root / "suites"]), ENVIRONMENTS, shop, rootdir=root)

    assert [(each.selectors, each.when) for each in reading.expectations] == [
        ((parse_selector("service:orders"),), (("billing", False),))
    ]
    (problem,) = reading.problems
    assert problem.startswith(
        "suites/expectations/other.toml:8: match.service: unknown service 'chat'; Known: billing, orders."
    )
    assert problem.endswith('add platform = "gaia" to [gaia] of gaia.toml.')


def test_all_missing_keys_are_reported_at_once(write: Write) -> None:
    assert (
        "required keys are missing: `reason`, `issue`, `owner`, `created`, `expires`, `environments`, `tests`"
        in usage_error_of(write(""))
    )


# Ledgers contain this digest of the two files.
DIGEST = "04ea864b1b580e12c8ada36a38aa4fa372fc138cffc5f0ce7db23141ad4de354"
IN_LEDGERS = (
    """\
reason = "chat is not deployed yet"
issue = "GAIA-412"
owner = "@chat-team"
created = 2026-03-01
expires = 2026-03-28
environments = ["staging", "dev"]
tests = ["suites/personas", "service:chat"]
expect = "flaky"
phase = ["setup", "call"]
when = { capability = ["!chat", "gateway"] }
match = { status = [404, 503], via = "gateway", message = "unavailable", reason = "NoRespondersError" }
max_failures = 8
justification = "a second service moved"
""",
    """\
reason = "it works"
issue = "GAIA-413"
owner = "@chat-team"
created = 2026-03-01
expires = 2026-03-28
environments = ["staging"]
tests = ["all"]
expect = "pass"
""",
)


def test_the_digest_of_files_stays_the_same_in_every_version_and_changes_with_what_they_say(write: Write) -> None:
    write(IN_LEDGERS[0], "chat-cut-over.toml")
    root = write(IN_LEDGERS[1], "exception.toml")
    assert expectations_digest(expectations_of(root)) == DIGEST

    known = {DIGEST}
    for offers in ("", 'when = { offers = "GET /a" }\n', 'when = { offers = "!GET /a" }\n'):
        write(f"{IN_LEDGERS[1]}{offers}", "exception.toml")
        for operations in ('"GET /v1/a"', '"* /v1/*"', '["* /v1/*", "chat: GET /a"]'):
            write(removed(operations=operations), "gone.toml")
            known.add(expectations_digest(expectations_of(root)))
    assert len(known) == 10
