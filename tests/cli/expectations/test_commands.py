"""``gaia policy list | lint | explain``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.expectations.expectation_files import TESTS, A, B, write_expectation
from tests.verdict.runs import UNAVAILABLE, failed, passed, record, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Gaia = Callable[..., Outcome]

AS_OF = "--as-of=2026-03-15"


@pytest.fixture
def recorded(project: Path) -> Path:
    """A recorded run of both tests of the project."""
    return record(project / "run.jsonl", run(failed(A, services=("chat",)), passed(B)))


@pytest.mark.parametrize(
    "command",
    [
        ("list",),
        ("lint",),
        ("explain", A, "--env=staging"),
        ("diff", "staging", "production"),
        ("suggest", "run.jsonl"),
        ("prune", "run.jsonl"),
        ("ratchet", "--base=HEAD"),
        ("fmt",),
    ],
)
def test_every_command_needs_a_project_with_suites(gaia: Gaia, project: Path, command: tuple[str, ...]) -> None:
    record(project / "run.jsonl", run(passed(B)))
    (project / "gaia.toml").write_text("[gaia]\n")

    code, out, err = gaia("policy", *command)

    assert (code, out) == (4, "")
    assert (
        err
        == 'gaia: gaia.toml names no suites, so there are no rules. Name the suites there: [gaia] suites = ["suites"].\n'
    )


def test_a_project_without_expectations_is_told_what_that_means(gaia: Gaia) -> None:
    assert gaia("policy", "list") == (0, "There are no rules: every failure gates.\n", "")


def test_list_shows_who_answers_for_what_and_how_long(gaia: Gaia, project: Path) -> None:
    write_expectation(project)
    write_expectation(project, "late", expires="2026-03-10", environments='["dev"]')

    code, out, err = gaia("policy", "list", AS_OF)

    assert (code, err) == (0, "")
    lines = [line.split("  ") for line in out.splitlines()]
    assert [cell.strip() for cell in lines[1] if cell] == [
        "chat-cut-over", "fail", "staging", "status 503", "@chat-team", "GAIA-412", "17 days",
    ]  # fmt: skip
    assert out.splitlines()[2].endswith("expired 2026-03-10")


def test_list_of_one_environment(gaia: Gaia, project: Path) -> None:
    write_expectation(project)
    write_expectation(project, "of-dev", environments='["dev"]')

    assert [expectation["id"] for expectation in json.loads(gaia("policy", "list", "--env=dev", "--json").out)] == [
        "of-dev"
    ]
    assert gaia("policy", "list", "--env=dve").err.startswith("gaia: unknown environment 'dve'; did you mean dev?")


def test_list_as_json_holds_the_whole_expectation(gaia: Gaia, project: Path) -> None:
    write_expectation(project, when='{ capability = "!chat" }')
    (expectation,) = json.loads(gaia("policy", "list", "--json", AS_OF).out)

    assert expectation["file"] == "checks/expectations/chat-cut-over.toml"
    assert (expectation["days_left"], expectation["when"], expectation["match"]) == (17, ["!chat"], {"status": [503]})


def test_lint_holds_expectations_against_what_pytest_collects_now(gaia: Gaia, project: Path) -> None:
    (project / "checks/health/test_up.py").write_text(TESTS)
    write_expectation(project)
    write_expectation(project, "typo", tests='["checks/health/test_up.py::test_bb"]')

    code, out, err = gaia("policy", "lint", AS_OF)

    assert (code, err) == (1, "")
    assert out == (
        "error: unused: checks/expectations/typo.toml: covers no test; did you mean checks/health/test_up.py::test_b?\n"
        "2 rules: 1 errors, 0 warnings\n"
    )


def test_lint_takes_tests_from_a_recorded_run(gaia: Gaia, project: Path, recorded: Path) -> None:
    write_expectation(project)

    assert gaia("policy", "lint", f"--run={recorded}", AS_OF) == (0, "1 rules: 0 errors, 0 warnings\n", "")


def test_lint_says_that_a_run_of_some_tests_is_not_enough(gaia: Gaia, project: Path) -> None:
    write_expectation(project)
    path = record(project / "run.jsonl", run(passed(B), complete=False))

    code, out, err = gaia("policy", "lint", f"--run={path}", AS_OF)

    assert code == 1
    assert "error: unused: checks/expectations/chat-cut-over.toml" in out
    assert err == f"gaia: {path} is not a run of all tests; rules about the others are called unused.\n"


def test_warnings_alone_do_not_fail_lint(gaia: Gaia, project: Path, recorded: Path) -> None:
    write_expectation(project)

    code, out, _ = gaia("policy", "lint", f"--run={recorded}", "--as-of=2026-03-28")

    assert code == 0
    assert out.startswith(
        "warning: expires-soon: checks/expectations/chat-cut-over.toml: expires on 2026-04-01, in 4 days (@chat-team)"
    )


def test_lint_names_every_file_that_cannot_be_read(gaia: Gaia, project: Path) -> None:
    write_expectation(project, "a", owner="")
    write_expectation(project, "b", environments='["production"]')

    code, out, _ = gaia("policy", "lint", "--json")

    found = json.loads(out)
    assert code == 1
    assert [(each["check"], each["expectation"], each["place"]) for each in found] == [
        ("mistake", "a", "checks/expectations/a.toml:1"),
        ("mistake", "b", "checks/expectations/b.toml:6"),
    ]
    assert found[1]["text"] == "environments: production has strict tolerance; an expectation cannot apply there."


def test_lint_says_reason_tests_cannot_be_collected(gaia: Gaia, project: Path) -> None:
    (project / "checks/health/test_up.py").write_text("import nowhere\n")
    write_expectation(project)

    code, out, err = gaia("policy", "lint")

    assert (code, out) == (4, "")
    assert err == (
        "gaia: pytest could not collect the tests (exit 2); `pytest --collect-only` shows all of it.\n"
        "E   ModuleNotFoundError: No module named 'nowhere'\n"
        "ERROR checks/health/test_up.py\n"
    )


def test_explain_names_the_winner_the_overridden_and_what_became_of_the_test(
    gaia: Gaia, project: Path, recorded: Path
) -> None:
    write_expectation(project)
    write_expectation(project, "all-of-chat", tests='["service:chat"]')
    write_expectation(project, "bound", tests='["checks"]', when='{ capability = "chat" }')

    code, out, err = gaia("policy", "explain", A, "--env=staging", f"--run={recorded}", AS_OF)

    assert (code, err) == (0, "")
    assert "chat-cut-over speaks for it (checks/health/test_up.py::test_a): it fails in call with status 503\n" in out
    assert "  who:   @chat-team, GAIA-412, 17 days left, checks/expectations/chat-cut-over.toml\n" in out
    assert "  lost: all-of-chat (service:chat): chat-cut-over takes precedence: it is more specific\n" in out
    assert "  lost: bound (checks): requires chat, and chat was not observed\n" in out
    assert out.endswith("In this run: expected failure\n  chat is not deployed yet\n")


def test_explain_says_reason_a_failure_was_not_accepted(gaia: Gaia, project: Path, recorded: Path) -> None:
    write_expectation(project, match="{ status = [404, 500] }")

    out = gaia("policy", "explain", A, "--env=staging", f"--run={recorded}", AS_OF).out

    assert "In this run: failed, which gates\n" in out
    assert "expectation chat-cut-over did not match: status 503, expected 404|500" in out


def test_explain_in_an_environment_without_tolerance(gaia: Gaia, project: Path, recorded: Path) -> None:
    write_expectation(project)
    found = json.loads(gaia("policy", "explain", A, "--env=production", f"--run={recorded}", "--json", AS_OF).out)

    assert (found["tolerance"], found["winners"]) == ("strict", [])
    assert found["losers"] == [{"rule": "chat-cut-over", "why": "production has strict tolerance"}]
    assert found["judgements"][0]["gates"] is True


def test_explain_without_a_run_says_what_it_assumes(gaia: Gaia, project: Path) -> None:
    (project / "checks/health/test_up.py").write_text(TESTS)

    out = gaia("policy", "explain", A, "--env=staging").out

    assert "  services:    chat\n" in out
    assert "  taken to answer, as declared: gateway, postgres\n" in out
    assert "No rule speaks for it: if it fails, that counts in full." in out


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        ("checks/health/test_up.py::test_a", f"it stands for several, such as {A}"),
        ("checks/health/test_up.py::test_bb", f"did you mean {B}?"),
        ("zzz", "`pytest --collect-only -q` lists them."),
    ],
)
def test_explain_wants_one_test_that_there_is(gaia: Gaia, recorded: Path, node: str, problem: str) -> None:
    code, out, err = gaia("policy", "explain", node, "--env=staging", f"--run={recorded}")

    assert (code, out) == (4, "")
    assert err == f"gaia: there is no test {node!r}; {problem}\n"


def test_a_file_that_is_no_run_is_a_usage_error(gaia: Gaia, project: Path) -> None:
    (project / "run.jsonl").write_text("{}\n")

    code, _, err = gaia("policy", "explain", A, "--env=staging", "--run=run.jsonl")

    assert code == 4
    assert err.startswith("gaia: run.jsonl:1: not a line of a recorded run")


def test_a_malformed_expectation_ends_every_other_command_with_its_place(
    gaia: Gaia, project: Path, recorded: Path
) -> None:
    write_expectation(project, owner="")

    for command in (("list",), ("prune", str(recorded)), ("explain", A, "--env=staging", f"--run={recorded}")):
        code, out, err = gaia("policy", *command)
        assert (code, out) == (4, "")
        assert err == "gaia: checks/expectations/chat-cut-over.toml:1: required keys are missing: `owner`.\n"


def test_the_sample_failure_is_the_one_of_the_expectation() -> None:
    assert UNAVAILABLE.status == 503
