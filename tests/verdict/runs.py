"""Results logs as a run writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from pytest_gaia.expectations.apis import Api, Baseline
from pytest_gaia.verdict.evidence import SCHEMA, Failure, Phase, RecordedRun, RunEnd, RunStart, TestRecord, Wire
from pytest_gaia.verdict.results_log import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

UNAVAILABLE = Failure(
    kind="http",
    exception="UnexpectedResponse",
    message="gateway returned 503, expected 200",
    status=503,
    service="chat",
    via="gateway",
    route="/api/v1/chat",
    method="GET",
)


def passed(node: str, **more: Any) -> TestRecord:
    """A test that passed."""
    whole = tuple(Phase(when, "passed") for when in ("setup", "call", "teardown"))
    return TestRecord(node, "ran", **{"phases": whole, "statements": 1, **more})


def failed(node: str, failure: Failure = UNAVAILABLE, **more: Any) -> TestRecord:
    """A test whose call failed."""
    phases = (Phase("setup", "passed"), Phase("call", "failed", failure=failure), Phase("teardown", "passed"))
    return TestRecord(node, "ran", phases, **more)


def run(
    *tests: TestRecord,
    environment: str = "staging",
    day: int = 15,
    capabilities: tuple[str, ...] = (),
    complete: bool = True,
    partial: tuple[str, ...] | None = None,
    unknown: tuple[str, ...] = (),
) -> RecordedRun:
    """A run of ``tests`` in March 2026 that came to its end."""
    start = RunStart(
        SCHEMA, environment, "gateway-only", f"2026-03-{day:02}T10:00:00+00:00", capabilities, unknown=unknown
    )
    broken = any(phase.outcome == "failed" for test in tests for phase in test.phases)
    end = RunEnd(
        f"2026-03-{day:02}T10:01:00+00:00", int(broken), planned=len(tests), complete=complete, partial=partial
    )
    return RecordedRun(start, tests, end)


def offering(
    recorded: RecordedRun, now: Mapping[str, Iterable[str]], before: Mapping[str, Iterable[str]]
) -> RecordedRun:
    """Return the run with the operations of its services: those of its release, and those of the baseline."""
    apis, earlier = (
        {name: Api("sha256:0", tuple(sorted(operations))) for name, operations in each.items()}
        for each in (now, before)
    )
    start = replace(recorded.start, apis=apis, baseline=Baseline("release 1", earlier) if earlier else None)
    return replace(recorded, start=start)


def lacking(node: str, method: str, route: str, service: str = "gateway") -> TestRecord:
    """A test that failed because ``service`` has no such route."""
    failure = Failure("http", "UnexpectedResponse", "", 404, service, "direct", route, method)
    call = Phase("call", "failed", failure=failure, exchanges=1)
    exchange = Wire(method, route, service, "direct", 0.01, 404)
    return TestRecord(node, "ran", (Phase("setup", "passed"), call, Phase("teardown", "passed")), (exchange,))


def record(path: Path, recorded: RecordedRun) -> Path:
    """Write ``recorded`` as ``--gaia-report-log`` does."""
    end = [encode(recorded.end)] if recorded.end else []
    path.write_bytes(b"".join([encode(recorded.start), *map(encode, recorded.tests), *end]))
    return path
