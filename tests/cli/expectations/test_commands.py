"""``gaia expectations list | check | explain | schema``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.expectations.formatting import KEY_ORDER
from tests.cli.expectations.expectation_files import TESTS, A, B, without_version_1, write_expectation, write_removal
from tests.verdict.runs import UNAVAILABLE, failed, lacking, passed, record, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Gaia = Callable[..., Outcome]

AS_OF = "--as-of=2026-03-15"


@pytest.fixture
def recorded(project: Path) -> Path:
    """A results log with both tests of the project."""
    return record(project / "run.jsonl", run(failed(A, services=("chat",)), passed(B)))


@pytest.mark.parametrize(
    "command",
    [
        ("list",),
        ("check",),
        ("explain", A, "--env=staging"),
        ("diff", "staging", "production"),
        ("suggest", "run.jsonl"),
        ("unused", "run.jsonl"),
        ("ratchet", "--base=HEAD"),
        ("fmt",),
    ],
)
def test_every_command_needs_a_project_with_suites(gaia: Gaia, project: Path, command: tuple[str, ...]) -> None:
    record(project / "run.jsonl", run(passed(B)))
    (project / "gaia.toml").write_text("[gaia]\n")

    code, out, err = gaia("expectations", *command)

    assert (code, out) == (4, "")
    assert (
        err
        == 'gaia: gaia.toml names no suites, so there are no expectations. Set the suite folders in gaia.toml: [gaia] suites = ["suites"].\n'
    )


def test_a_project_without_expectations_is_told_what_that_means(gaia: Gaia) -> None:
    assert gaia("expectations", "list") == (0, "There are no expectations: every failure blocks the release.\n", "")


def test_list_shows_who_answers_for_what_and_how_long(gaia: Gaia, project: Path) -> None:
    write_expectation(project)
    write_expectation(project, "late", expires="2026-03-10", environments='["dev"]')

    code, out, err = gaia("expectations", "list", AS_OF)

    assert (code, err) == (0, "")
    lines = [line.split("  ") for line in out.splitlines()]
    assert [cell.strip() for cell in lines[1] if cell] == [
        "chat-cut-over", "fail", "staging", "status 503", "@chat-team", "GAIA-412", "17 days",
    ]  # fmt: skip
    assert out.splitlines()[2].endswith("expired 2026-03-10")


def test_list_of_one_environment(gaia: Gaia, project: Path) -> None:
    write_expectation(project)
    write_expectation(project, "of-dev", environments='["dev"]')

    assert [
        expectation["id"] for expectation in json.loads(gaia("expectations", "list", "--env=dev", "--json").out)
    ] == ["of-dev"]
    assert gaia("expectations", "list", "--env=dve").err.startswith(
        "gaia: unknown environment 'dve'; did you mean dev?"
    )


def test_list_as_json_holds_the_whole_expectation(gaia: Gaia, project: Path) -> None:
    write_expectation(project, when='{ capability = "!chat" }')
    (expectation,) = json.loads(gaia("expectations", "list", "--json", AS_OF).out)

    assert expectation["file"] == "checks/expectations/chat-cut-over.toml"
    assert (expectation["days_left"], expectation["when"], expectation["match"]) == (17, ["!chat"], {"status": [503]})


def test_lint_holds_expectations_against_what_pytest_collects_now(gaia: Gaia, project: Path) -> None:
    (project / "checks/health/test_up.py").write_text(TESTS)
    write_expectation(project)
    write_expectation(project, "typo", tests='["checks/health/test_up.py::test_bb"]')

    code, out, err = gaia("expectations", "check", AS_OF)

    assert (code, err) == (1, "")
    assert out == (
        "error: unused: checks/expectations/typo.toml: covers no test; did you mean checks/health/test_up.py::test_b?\n"
        "2 expectations: 1 error, 0 warnings\n"
    )


def test_lint_takes_tests_from_a_recorded_run(gaia: Gaia, project: Path, recorded: Path) -> None:
    write_expectation(project)

    assert gaia("expectations", "check", f"--results={recorded}", AS_OF) == (
        0,
        "1 expectation: 0 errors, 0 warnings\n",
        "",
    )


def test_lint_says_that_a_run_of_some_tests_is_not_enough(gaia: Gaia, project: Path) -> None:
    write_expectation(project)
    path = record(project / "run.jsonl", run(passed(B), complete=False))

    code, out, err = gaia("expectations", "check", f"--results={path}", AS_OF)

    assert code == 1
    assert "error: unused: checks/expectations/chat-cut-over.toml" in out
    assert err == f"gaia: {path} is from a partial run; expectations of other tests are reported as unused.\n"


def test_warnings_alone_do_not_fail_lint(gaia: Gaia, project: Path, recorded: Path) -> None:
    write_expectation(project)

    code, out, _ = gaia("expectations", "check", f"--results={recorded}", "--as-of=2026-03-28")

    assert code == 0
    assert out.startswith(
        "warning: expires-soon: checks/expectations/chat-cut-over.toml: expires on 2026-04-01, in 4 days (@chat-team)"
    )


def test_lint_names_every_file_that_cannot_be_read(gaia: Gaia, project: Path) -> None:
    write_expectation(project, "a", owner="")
    write_expectation(project, "b", environments='["production"]')

    code, out, _ = gaia("expectations", "check", "--json")

    found = json.loads(out)
    assert code == 1
    assert [(each["check"], each["expectation"], each["place"]) for each in found] == [
        ("invalid", "a", "checks/expectations/a.toml:1"),
        ("invalid", "b", "checks/expectations/b.toml:6"),
    ]
    assert (
        found[1]["text"]
        == "environments: production has strict tolerance; an expectation of failures cannot apply there."
    )


def test_lint_says_reason_tests_cannot_be_collected(gaia: Gaia, project: Path) -> None:
    (project / "checks/health/test_up.py").write_text("import nowhere\n")
    write_expectation(project)

    code, out, err = gaia("expectations", "check")

    assert (code, out) == (4, "")
    assert err == (
        "gaia: pytest cannot collect the tests (exit code 2). See `pytest --collect-only`.\n"
        "E   ModuleNotFoundError: No module named 'nowhere'\n"
        "ERROR checks/health/test_up.py\n"
    )


def test_list_shows_the_operations_that_may_be_gone(gaia: Gaia, project: Path) -> None:
    write_removal(project, environments='["production"]', when='{ offers = "!GET /v3/chat" }')

    assert "version-1    removed  production    gateway: * /v1/*  @chat-team" in gaia("expectations", "list").out
    (found,) = json.loads(gaia("expectations", "list", "--env=production", "--json").out)
    assert (found["operations"], found["offers"], found["tests"]) == (
        ["gateway: * /v1/*"],
        ["!gateway: GET /v3/chat"],
        [],
    )


def test_check_compares_removals_with_what_the_release_of_a_run_offers(gaia: Gaia, project: Path) -> None:
    write_removal(project, operations='["* /v1/*", "GET /v2/*"]')
    path = record(project / "run.jsonl", without_version_1(passed(A)))

    code, out, _ = gaia("expectations", "check", f"--results={path}", AS_OF)

    assert code == 0
    assert out == (
        "warning: still-offered: checks/expectations/version-1.toml: gateway: GET /v2/* covers 1 operation that the "
        "release offers, such as gateway: GET /v2/chat\n1 expectation: 0 errors, 1 warning\n"
    )


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ({}, "version-1 accepts that it is gone (gateway: * /v1/*)\n  reason: chat is not deployed yet\n"),
        (
            {"when": '{ offers = "GET /v3/chat" }'},
            "(gateway: * /v1/*): requires that the release offers gateway: GET /v3/chat\n",
        ),
    ],
)
def test_explain_names_what_accepts_that_an_operation_is_gone(
    gaia: Gaia, project: Path, lines: dict[str, str], said: str
) -> None:
    write_removal(project, **lines)
    path = record(project / "run.jsonl", without_version_1(lacking(B, "GET", "/v1/chat")))
    command = ("expectations", "explain", "GET /v1/chat", "--env=staging", f"--results={path}", AS_OF)

    code, out, err = gaia(*command)

    assert (code, err) == (0, "")
    assert "  in this release: not offered\n  in release 1: offered\n" in out
    assert said in out
    found = json.loads(gaia(*command, "--json").out)
    assert (found["offered"], found["in_baseline"], bool(found["effective"])) == (False, True, not lines)
    consequence = "that blocks the release" if lines else "version-1 accepts that"
    out = gaia("expectations", "explain", B, "--env=staging", f"--results={path}", AS_OF).out
    assert out.endswith(
        "In this run: not applicable\n  gateway does not offer GET /v1/chat in this release\n"
        f"  gateway: GET /v1/chat is gone since the baseline; {consequence}\n"
    )


def test_explain_names_the_winner_the_overridden_and_what_became_of_the_test(
    gaia: Gaia, project: Path, recorded: Path
) -> None:
    write_expectation(project)
    write_expectation(project, "all-of-chat", tests='["service:chat"]')
    write_expectation(project, "bound", tests='["checks"]', when='{ capability = "chat" }')

    code, out, err = gaia("expectations", "explain", A, "--env=staging", f"--results={recorded}", AS_OF)

    assert (code, err) == (0, "")
    assert "chat-cut-over applies (checks/health/test_up.py::test_a): the test fails in call with status 503\n" in out
    assert "  owner:  @chat-team, GAIA-412, 17 days left, checks/expectations/chat-cut-over.toml\n" in out
    assert "  does not apply: all-of-chat (service:chat): chat-cut-over takes precedence: it is more specific\n" in out
    assert "  does not apply: bound (checks): requires chat, and chat was not observed\n" in out
    assert out.endswith("In this run: expected failure\n  chat is not deployed yet\n")


def test_explain_says_reason_a_failure_was_not_accepted(gaia: Gaia, project: Path, recorded: Path) -> None:
    write_expectation(project, match="{ status = [404, 500] }")

    out = gaia("expectations", "explain", A, "--env=staging", f"--results={recorded}", AS_OF).out

    assert "In this run: failed, which blocks the release\n" in out
    assert "expectation chat-cut-over did not match: status 503, expected 404|500" in out


def test_explain_in_an_environment_without_tolerance(gaia: Gaia, project: Path, recorded: Path) -> None:
    write_expectation(project)
    found = json.loads(
        gaia("expectations", "explain", A, "--env=production", f"--results={recorded}", "--json", AS_OF).out
    )

    assert (found["tolerance"], found["effective"]) == ("strict", [])
    assert found["overridden"] == [{"expectation": "chat-cut-over", "reason": "production has strict tolerance"}]
    assert found["outcomes"][0]["blocks"] is True


def test_explain_without_a_run_says_what_it_assumes(gaia: Gaia, project: Path) -> None:
    (project / "checks/health/test_up.py").write_text(TESTS)

    out = gaia("expectations", "explain", A, "--env=staging").out

    assert "  services:    chat\n" in out
    assert "  assumed reachable: gateway, postgres\n" in out
    assert "No expectation applies: if the test fails, it blocks the release." in out


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        ("checks/health/test_up.py::test_a", f"it covers several, such as {A}"),
        ("checks/health/test_up.py::test_bb", f"did you mean {B}?"),
        ("zzz", "list the tests with `pytest --collect-only -q`."),
    ],
)
def test_explain_wants_one_test_that_there_is(gaia: Gaia, recorded: Path, node: str, problem: str) -> None:
    code, out, err = gaia("expectations", "explain", node, "--env=staging", f"--results={recorded}")

    assert (code, out) == (4, "")
    assert err == f"gaia: there is no test {node!r}; {problem}\n"


def test_a_file_that_is_no_run_is_a_usage_error(gaia: Gaia, project: Path) -> None:
    (project / "run.jsonl").write_text("{}\n")

    code, _, err = gaia("expectations", "explain", A, "--env=staging", "--results=run.jsonl")

    assert code == 4
    assert err.startswith("gaia: run.jsonl: not a results log (see --gaia-report-log)")


def test_a_malformed_expectation_ends_every_other_command_with_its_place(
    gaia: Gaia, project: Path, recorded: Path
) -> None:
    write_expectation(project, owner="")

    for command in (("list",), ("unused", str(recorded)), ("explain", A, "--env=staging", f"--results={recorded}")):
        code, out, err = gaia("expectations", *command)
        assert (code, out) == (4, "")
        assert err == "gaia: checks/expectations/chat-cut-over.toml:1: required keys are missing: `owner`.\n"


def test_the_sample_failure_is_the_one_of_the_expectation() -> None:
    assert UNAVAILABLE.status == 503


def test_the_schema_describes_every_key(gaia: Gaia, tmp_path: Path) -> None:
    assert gaia("expectations", "schema", "-o", str(tmp_path / "schema.json")).code == 0

    table = json.loads((tmp_path / "schema.json").read_text())["$defs"]["ExpectationTable"]
    assert set(table["properties"]) == set(KEY_ORDER)
    assert all(each.get("description") for each in table["properties"].values())
    assert table["additionalProperties"] is False
