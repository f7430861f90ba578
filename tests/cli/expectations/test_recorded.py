"""``gaia expectations diff | suggest | prune``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.verdict.evidence import Failure
from tests.cli.expectations.expectation_files import TESTS, A, B, write_expectation
from tests.verdict.runs import failed, passed, record, run

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

    assert found == [{"expectation": "chat-cut-over", "reason": "applies to staging only", "tests": [A, B]}]


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
