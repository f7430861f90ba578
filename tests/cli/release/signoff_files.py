"""Runs of a release whose files are kept, as a promotion keeps them: verdict file and record, named by the ledger."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_gaia.promotion.ledger.statements import Resource
from pytest_gaia.promotion.promote._journal import FOLDER
from pytest_gaia.verdict.evidence import Line, Phase, RunEnd, RunStart, TestRecord, Wire
from pytest_gaia.verdict.report import ClassifiedTest, ExpectationUse, VerdictFile
from pytest_gaia.verdict.results_log import encode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.evidence import Underway

PASSED = tuple(f"suites/health/test_health.py::test_{number}" for number in range(5))
ACCEPTED = "suites/chat/test_chat.py::test_a_stream_ends[mu, 2 messages]"
LEFT_OUT = "suites/performance/test_performance.py::test_a_reset_begins_anew"
EXPECTATION = ExpectationUse(
    "stream-wrapped", "the gateway wraps the stream", "GAIA-433", "@chat-team", "2999-11-15", 300, "", 1
)
IDLE = ExpectationUse("models-shadowed", "models are shadowed", "GAIA-435", "@chat-team", "2999-12-01", 300, "", 0)


def evaluated(
    node: str, outcome: str = "passed", reason: str = "", expectations: tuple[str, ...] = (), *, gates: bool = False
) -> ClassifiedTest:
    """Return one test of a verdict file."""
    return ClassifiedTest(node, outcome, gates, reason, expectations, ())


def evaluated_in(environment: str) -> tuple[ClassifiedTest, ...]:
    """Return a run with passes, one expected failure, and one test that is not applicable."""
    return (
        *map(evaluated, PASSED),
        evaluated(ACCEPTED, "expected failure", EXPECTATION.reason, (EXPECTATION.id,)),
        evaluated(LEFT_OUT, "not applicable", f"{environment} runs the suite 'performance' only if it is selected"),
    )


def verdict_of(
    pipeline: Underway, environment: str, tests: tuple[ClassifiedTest, ...] = (), **changes: Any
) -> VerdictFile:
    """Return the verdict file of a run."""
    told = tests or evaluated_in(environment)
    now = pipeline.now.isoformat()
    values: dict[str, Any] = {
        "format": "gaia-verdict/1", "verdict": "PROMOTE", "exit_code": 0, "reasons": ("5 passed",), "environment": environment,
        "simulated": False, "topology": "microservices", "deployed_version": "0.2", "capabilities": (), "services": (), "deployment": None,
        "changed": (), "tolerance": "listed", "evaluated_as_of": now[:10], "started": now, "finished": now,
        "counts": dict(Counter(test.outcome for test in told)), "accepted": 1, "budget": None, "blocking_in_production": 0,
        "plan": "ab" * 32, "release": pipeline.release.id, "expectations_digest": "cd" * 32, "expectations": (EXPECTATION, IDLE), "tests": told,
    }  # fmt: skip
    return VerdictFile(**values | changes)


def record_of(pipeline: Underway, environment: str) -> bytes:
    """Return the record of a run that asked one route three times."""
    service = max(pipeline.release.digests)
    exchanges = tuple(Wire("GET", "/health", service, "direct", seconds, 200) for seconds in (0.01, 0.02, 0.06))
    phases = tuple(Phase(when, "passed") for when in ("setup", "call", "teardown"))
    now = pipeline.now.isoformat()
    lines: tuple[Line, ...] = (
        RunStart(1, environment, "microservices", now),
        TestRecord(PASSED[0], "ran", phases, exchanges),
        RunEnd(now, 0, 1, plan="ab" * 32, release=pipeline.release.id),
    )
    return b"".join(encode(line) for line in lines)


def run_kept(
    pipeline: Underway, project: Path, environment: str, verdict: VerdictFile | None = None, **changes: Any
) -> Path:
    """Let a run be written into the ledger, and keep its files; return their folder."""
    verdict = verdict or verdict_of(pipeline, environment)
    folder = project / FOLDER / f"{environment}-{pipeline.id}"
    folder.mkdir(parents=True, exist_ok=True)
    files = {"verdict.json": msgspec.json.encode(verdict), "record.jsonl": record_of(pipeline, environment)}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    named = tuple(Resource(name, {"sha256": hashlib.sha256(content).hexdigest()}) for name, content in files.items())
    told: dict[str, Any] = {
        "configuration": named,
        "counts": verdict.counts,
        "planned": len(verdict.tests),
        "verdict": verdict.verdict,
    }
    pipeline.run(environment, **told | changes)
    return folder


def walk_kept(pipeline: Underway, project: Path, *, production: bool = True) -> None:
    """Take the release the whole way, with the files of the runs in staging and production."""
    pipeline.through_local()
    pipeline.through_dev()
    pipeline.wait(13)
    pipeline.check("no-experimental-features", "staging")
    pipeline.deploy("staging")
    run_kept(pipeline, project, "staging")
    pipeline.gate("staging")
    pipeline.ready_for_production()
    if production:
        pipeline.deploy("production")
        run_kept(pipeline, project, "production")
        pipeline.gate("production")
