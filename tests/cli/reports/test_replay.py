"""``gaia replay``: the same evidence under other rules and on other days."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.verdict.evidence import SCHEMA, Failure, Phase, RunEnd, RunStart, TestRecord
from pytest_gaia.verdict.report import VerdictFile
from pytest_gaia.verdict.results_log import encode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

EXPECTATION = """
reason = "personas are not there yet"
issue = "GAIA-412"
owner = "@persona-team"
created = 2026-11-01
expires = 2026-12-24
environments = ["staging"]
tests = ["suites/personas"]
expect = "fail"
match = { status = 503 }
"""

PASSED = tuple(Phase(when, "passed") for when in ("setup", "call", "teardown"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "suites" / "expectations").mkdir(parents=True)
    (tmp_path / "suites" / "expectations" / "personas.toml").write_text(EXPECTATION)
    (tmp_path / "gaia.toml").write_text(
        '[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.staging.tolerance]\nmin_tests = 1\n'
    )
    failed = (PASSED[0], Phase("call", "failed", failure=Failure("http", status=503)), PASSED[2])
    lines = (
        RunStart(SCHEMA, "staging", "gateway-only", "2026-11-23T12:00:00Z", ("gateway",)),
        TestRecord("suites/health/test_health.py::test_health", "ran", PASSED, core=True, statements=1),
        TestRecord("suites/personas/test_personas.py::test_list", "ran", failed),
        RunEnd("2026-11-23T12:01:00Z", 0, 2),
    )
    (tmp_path / "run.jsonl").write_bytes(b"".join(encode(line) for line in lines))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_same_expectations_give_the_same_verdict(gaia: Callable[..., Outcome]) -> None:
    result = gaia("replay", "run.jsonl", "--as-of", "2026-11-23")

    assert result.code == 0, result.err
    assert "1  ×  personas  GAIA-412  @persona-team  31 days left" in result.out
    assert "gaia verdict: PROMOTE on staging: 1 passed, 1 expected failure" in result.out


def test_a_run_that_was_concurrent_or_in_random_order_says_so(gaia: Callable[..., Outcome], project: Path) -> None:
    first, rest = (project / "run.jsonl").read_bytes().split(b"\n", 1)
    start = json.loads(first) | {"concurrency": 16, "shuffle_seed": 7}
    (project / "run.jsonl").write_bytes(json.dumps(start).encode() + b"\n" + rest)

    result = gaia("replay", "run.jsonl", "--as-of", "2026-11-23")

    assert result.out.startswith("gaia: 16 concurrent tests, random order (--gaia-shuffle=7)\n")


def test_production_rejects_and_names_the_same_test(gaia: Callable[..., Outcome]) -> None:
    result = gaia("replay", "run.jsonl", "--env", "production", "--as-of", "2026-11-23")

    assert result.code == 1
    assert "suites/personas/test_personas.py::test_list: failed" in result.out
    assert "gaia verdict: REJECT on production (results from staging)" in result.out


def test_on_the_day_of_its_end_an_expectation_accepts_nothing(gaia: Callable[..., Outcome]) -> None:
    assert gaia("replay", "run.jsonl", "--as-of", "2026-12-23").code == 0
    assert gaia("replay", "run.jsonl", "--as-of", "2026-12-24").code == 1


def test_the_verdict_file_can_be_had_on_standard_output_and_on_disk(
    gaia: Callable[..., Outcome], project: Path
) -> None:
    import msgspec

    result = gaia("replay", "run.jsonl", "--as-of", "2026-11-23", "--json", "--output", "verdict.json")

    document = msgspec.json.decode(result.out, type=VerdictFile)
    assert (document.verdict, document.evaluated_as_of) == ("PROMOTE", "2026-11-23")
    assert json.loads((project / "verdict.json").read_text()) == json.loads(result.out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--env", "prodution"), "did you mean production"),
        (("--as-of", "yesterday"), "yesterday"),
    ],
)
def test_a_wrong_option_is_a_usage_error(
    gaia: Callable[..., Outcome], arguments: tuple[str, ...], message: str
) -> None:
    result = gaia("replay", "run.jsonl", *arguments)

    assert result.code == 4
    assert message in result.err
    assert "Traceback" not in result.err


def test_a_run_that_was_killed_is_not_evidence_enough(gaia: Callable[..., Outcome], project: Path) -> None:
    lines = (project / "run.jsonl").read_bytes().splitlines(keepends=True)
    (project / "run.jsonl").write_bytes(b"".join(lines[:-1]) + lines[-1][:10])

    result = gaia("replay", "run.jsonl", "--as-of", "2026-11-23")

    assert result.code == 11
    assert "the run was killed before it ended" in result.out


def test_a_report_that_cannot_be_written_is_one_message(project: Path, gaia: Callable[..., Outcome]) -> None:
    result = gaia("replay", "run.jsonl", "--output", str(project))

    assert result.code == 4
    assert f"--output={project}: cannot be written: " in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2026-11-23T12:00", "2101-11-23T12:00", "the run has a time in the future"),
        (f'"schema":{SCHEMA}', '"schema":0', "unknown format 0"),
        (
            "suites/health/test_health.py::test_health",
            "suites/personas/test_personas.py::test_list",
            "is already in line 2",
        ),
    ],
)
def test_what_no_run_can_have_written_is_not_evaluated(
    gaia: Callable[..., Outcome], project: Path, old: str, new: str, message: str
) -> None:
    path = project / "run.jsonl"
    path.write_text(path.read_text().replace(old, new))

    result = gaia("replay", "run.jsonl", "--as-of", "2026-11-23")

    assert result.code == 4
    assert message in result.err
