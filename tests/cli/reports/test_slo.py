"""``gaia slo check``: results logs compared with objectives, and with each other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.verdict.evidence import SCHEMA, Phase, RunEnd, RunStart, TestRecord, Wire
from pytest_gaia.verdict.results_log import encode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Gaia = Callable[..., Outcome]

PASSED = tuple(Phase(when, "passed") for when in ("setup", "call", "teardown"))
OBJECTIVE = '[[env.staging.slo]]\nroute = "GET /health"\nwarn_ms = 300\nfail_ms = 800\n'


@pytest.fixture
def objectives(project: Path) -> Path:
    (project / "gaia.toml").write_text((project / "gaia.toml").read_text() + OBJECTIVE)
    return project


def recorded(
    path: Path,
    milliseconds: float,
    count: int = 60,
    environment: str = "staging",
    partial: tuple[str, ...] = (),
    concurrency: int = 1,
) -> str:
    wires = tuple(
        Wire("GET", "/health", "gateway", "gateway", (milliseconds + number % 7) / 1000, 200) for number in range(count)
    )
    lines = (
        RunStart(SCHEMA, environment, "gateway-only", "2026-11-23T12:00:00Z", ("gateway",), concurrency=concurrency),
        TestRecord("suites/health/test_health.py::test_health", "ran", PASSED, wires),
        RunEnd("2026-11-23T12:01:00Z", 0, 1, partial=partial),
    )
    path.write_bytes(b"".join(encode(line) for line in lines))
    return str(path)


@pytest.mark.parametrize(
    ("milliseconds", "count", "code", "said"),
    [
        (100, 60, 0, "staging: 1 objective met"),
        (500, 60, 0, "over 300 ms"),
        (900, 60, 1, "staging: missed: GET /health"),
        (100, 5, 11, "staging: inconclusive: too few samples of GET /health"),
    ],
)
def test_the_exit_code_says_whether_they_are_met(
    objectives: Path, gaia: Gaia, milliseconds: float, count: int, code: int, said: str
) -> None:
    run = recorded(objectives / "run.jsonl", milliseconds, count)

    found, out, err = gaia("slo", "check", run)

    assert (found, err) == (code, "")
    assert said in out
    assert out.splitlines()[1].split()[:3] == ["GET", "/health", str(count)]


def test_an_environment_without_objectives_proves_nothing(objectives: Path, gaia: Gaia) -> None:
    run = recorded(objectives / "run.jsonl", 10, environment="dev")

    code, out, _ = gaia("slo", "check", run)
    other, noted, _ = gaia("slo", "check", run, "--env", "staging")

    assert (code, "dev: inconclusive: no objective is set (" in out) == (11, True)
    assert (other, "the run is from dev" in noted) == (0, True)


def test_slower_than_the_baseline_is_missed_if_there_are_samples_enough(objectives: Path, gaia: Gaia) -> None:
    before = recorded(objectives / "before.jsonl", 100)
    now = recorded(objectives / "now.jsonl", 200)
    few = recorded(objectives / "few.jsonl", 200, 30)
    elsewhere = recorded(objectives / "dev.jsonl", 100, environment="dev")

    code, out, _ = gaia("slo", "check", now, "--baseline", before, "--json")
    document = json.loads(out)

    assert code == document["exit_code"] == 1
    assert [(each["word"], each["decides"]) for each in document["compared"]] == [("slower", True)]
    assert gaia("slo", "check", before, "--baseline", now).code == 0
    assert gaia("slo", "check", few, "--baseline", before).code == 0
    code, out, _ = gaia("slo", "check", now, "--baseline", elsewhere)
    assert (code, "so the comparison is only a note" in out) == (0, True)


def test_a_run_with_concurrent_tests_says_so_and_is_not_compared_with_another_one(objectives: Path, gaia: Gaia) -> None:
    before = recorded(objectives / "before.jsonl", 100)
    now = recorded(objectives / "now.jsonl", 200, concurrency=16)

    code, out, _ = gaia("slo", "check", now, "--baseline", before)

    assert code == 0
    assert "response times are longer with concurrent tests; the run had up to 16\n" in out
    assert "the baseline had 1 test at the same time, so the comparison is only a note\n" in out


def test_a_file_that_is_no_run_is_a_usage_error(objectives: Path, gaia: Gaia) -> None:
    code, out, err = gaia("slo", "check", "gaia.toml")

    assert (code, out) == (4, "")
    assert "gaia.toml" in err
    assert gaia("slo", "check", recorded(objectives / "r.jsonl", 1), "--env", "stagign").code == 4


def test_a_partial_run_is_no_baseline(objectives: Path, gaia: Gaia) -> None:
    run = recorded(objectives / "run.jsonl", 100)
    part = recorded(objectives / "part.jsonl", 100, partial=("-m health deselected 9 of 10 tests",))

    code, _, err = gaia("slo", "check", run, "--baseline", part)

    assert code == 4
    assert "part.jsonl: a partial run cannot be a baseline (-m health deselected 9 of 10 tests). Use a full run." in err
