"""``gaia expectations diff | suggest | prune``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.verdict.evidence import Failure
from tests.cli.expectations.expectation_files import TESTS, A, B, without_version_1, write_expectation, write_removal
from tests.verdict.runs import failed, lacking, passed, record, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Gaia = Callable[..., Outcome]

TIMEOUT = Failure(kind="timeout", message="no response in 30 s")


def test_diff_lists_what_a_run_was_accepted_and_production_would_not_accept(gaia: Gaia, project: Path) -> None:
    write_expectation(project)
    path = record(project / "run.jsonl", run(failed(A), failed(B, TIMEOUT)))

    code, out, err = gaia("expectations", "diff", "staging", "production", f"--results={path}", "--as-of=2026-03-15")

    assert (code, err) == (0, "")
    assert out == (
        "1 accepted failure in staging would block in production\n\n"
        f"chat-cut-over: production has strict tolerance\n  {A}\n"
    )


def test_diff_without_a_run_lists_what_expectations_allow(gaia: Gaia, project: Path) -> None:
    (project / "checks/health/test_up.py").write_text(TESTS)
    write_expectation(project, tests='["checks"]')

    found = json.loads(gaia("expectations", "diff", "staging", "dev", "--as-of=2026-03-15", "--json").out)

    assert found == [
        {"expectation": "chat-cut-over", "reason": "applies to staging only", "tests": [A, B], "operations": []}
    ]


def test_diff_of_unknown_environments_is_a_usage_error(gaia: Gaia) -> None:
    assert gaia("expectations", "diff", "staging", "prod").err.startswith(
        "gaia: unknown environment 'prod'; did you mean production?"
    )


def test_suggest_drafts_what_no_expectation_accepts(gaia: Gaia, project: Path) -> None:
    write_expectation(project)
    path = record(project / "run.jsonl", run(failed(A), failed(B, TIMEOUT)))

    code, out, err = gaia("expectations", "suggest", str(path), "--as-of=2026-03-15")

    assert (code, err) == (0, "")
    assert out.count("# ---") == 1
    assert out.startswith("# --- staging-test-up-timeout.draft.toml\n# 1 test failed like this in staging:\n")
    assert f'tests = ["{B}"]\n' in out
    assert 'match = { kind = "timeout", message = "no response in" }\n' in out


def test_suggest_writes_drafts_that_are_never_read(gaia: Gaia, project: Path) -> None:
    (project / "checks" / "expectations").mkdir()
    path = record(project / "run.jsonl", run(failed(A), passed(B)))
    before = gaia("expectations", "list")

    code, out, err = gaia("expectations", "suggest", str(path), "--write")

    assert (code, out) == (0, "")
    assert err == "checks/expectations/drafts/staging-chat-503.draft.toml\n"
    assert 'reason = ""' in (project / err.strip()).read_text()
    assert gaia("expectations", "list") == before


def test_suggest_drafts_what_passed_in_another_run_as_flaky(gaia: Gaia, project: Path) -> None:
    paths = [record(project / f"{n}.jsonl", run(each(A))) for n, each in enumerate((failed, passed))]
    (draft,) = json.loads(gaia("expectations", "suggest", *map(str, paths), "--json").out)

    assert (draft["name"], draft["count"]) == ("staging-chat-503.draft.toml", 1)
    assert 'expect = "flaky"' in draft["text"]


def test_suggest_has_nothing_to_say_of_a_run_that_passed(gaia: Gaia, project: Path) -> None:
    path = record(project / "run.jsonl", run(passed(A)))

    assert gaia("expectations", "suggest", str(path)) == (0, "There are no unexpected failures.\n", "")


def test_prune_names_expectations_that_runs_did_not_need(gaia: Gaia, project: Path) -> None:
    write_expectation(project)
    write_expectation(project, "needed", tests=f'["{B}"]', match='{ kind = "timeout" }')
    paths = [record(project / f"{day}.jsonl", run(passed(A), failed(B, TIMEOUT), day=day)) for day in (10, 11)]

    code, out, err = gaia("expectations", "unused", *map(str, paths))

    assert (code, err) == (1, "")
    assert out == (
        "checks/expectations/chat-cut-over.toml: 1 test passed in 2 runs, and none failed\n"
        "1 expectation not needed in 2 runs\n"
    )


def test_prune_evaluates_a_run_as_on_its_day(gaia: Gaia, project: Path) -> None:
    write_expectation(project, expires="2026-03-12")
    path = record(project / "run.jsonl", run(failed(A), day=11))

    assert gaia("expectations", "unused", str(path)).code == 0


def test_prune_waits_for_enough_clean_runs_of_a_flaky_expectation_in_the_order_of_time(
    gaia: Gaia, project: Path
) -> None:
    write_expectation(project, expect='"flaky"')
    clean = [str(record(project / f"{day}.jsonl", run(passed(A), day=day))) for day in (12, 11)]
    dirty = str(record(project / "10.jsonl", run(failed(A), day=10)))

    assert gaia("expectations", "unused", *clean, dirty).code == 0
    code, out, _ = gaia("expectations", "unused", *clean, dirty, "--clean-runs=2", "--json")
    assert (code, json.loads(out)[0]["reason"]) == (1, "all tests passed in the last 2 runs")


@pytest.mark.parametrize("command", ["suggest", "unused"])
def test_a_run_of_an_environment_that_is_unknown_here_is_a_usage_error(gaia: Gaia, project: Path, command: str) -> None:
    path = record(project / "run.jsonl", run(passed(A), environment="adhoc"))

    code, _, err = gaia("expectations", command, str(path))

    assert code == 4
    assert err.startswith("gaia: the run is from the unknown environment 'adhoc'; Known: dev")


def test_suggest_drafts_one_expectation_of_what_is_gone_and_that_accepts_it(gaia: Gaia, project: Path) -> None:
    path = record(
        project / "run.jsonl", without_version_1(lacking(A, "GET", "/v1/chat"), lacking(B, "POST", "/v1/chat"))
    )

    code, out, err = gaia("expectations", "suggest", str(path), "--as-of=2026-03-15")

    assert (code, err) == (0, "")
    assert out.startswith(
        "# --- staging-removed.draft.toml\n# 2 operations are gone in staging:\n# compared with release 1\n"
    )
    assert out.count("# ---") == 1
    assert 'operations = ["gateway: * /v1/chat"]\nexpect = "removed"\nmax_failures = 2\n' in out
    for key in ("reason", "issue", "owner"):
        out = out.replace(f'{key} = ""', f'{key} = "known"')
    write_removal(project).write_text(out.partition("\n")[2].removesuffix("\n"))
    assert gaia("expectations", "suggest", str(path)).out == "There are no unexpected failures.\n"
    assert gaia("expectations", "fmt", "--check").code == 0


def test_unused_names_a_removal_when_the_release_without_it_is_the_baseline(gaia: Gaia, project: Path) -> None:
    write_removal(project)
    first = record(project / "first.jsonl", without_version_1(lacking(A, "GET", "/v1/chat")))
    second = record(project / "second.jsonl", without_version_1(passed(B), day=16))

    assert gaia("expectations", "unused", str(first), str(second)).code == 0
    assert gaia("expectations", "unused", str(second)) == (
        1,
        "checks/expectations/version-1.toml: accepted no removed operation in 1 run\n1 expectation not needed in 1 run\n",
        "",
    )


def test_diff_lists_removals_that_are_accepted_in_one_environment(gaia: Gaia, project: Path) -> None:
    (project / "checks/health/test_up.py").write_text(TESTS)
    write_removal(project)
    path = record(project / "run.jsonl", without_version_1(lacking(A, "GET", "/v1/chat")))
    command = ("expectations", "diff", "staging", "production", "--as-of=2026-03-15")

    assert gaia(*command, f"--results={path}").out == (
        "0 accepted failures in staging would block in production\n"
        "1 removed operation accepted in staging would block in production\n\n"
        "version-1: applies to staging only\n  gateway: GET /v1/chat\n"
    )
    assert json.loads(gaia(*command, "--json").out) == [
        {
            "expectation": "version-1",
            "reason": "applies to staging only",
            "tests": [],
            "operations": ["gateway: * /v1/*"],
        }
    ]
