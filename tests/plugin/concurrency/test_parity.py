"""The suites of this repository have the same evidence with concurrent tests: phases, outcomes and exchanges of each test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.plugin.concurrency.runs import difference, records
from tests.suites.conftest import run_suites

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow("suites")
def test_the_suites_have_the_same_evidence(tmp_path: Path) -> None:
    alone, together = (evidence(tmp_path / f"{number}.jsonl", number) for number in (1, 32))

    assert len(alone) > 150
    found = difference(together, alone)
    if found:
        pytest.fail(found, pytrace=False)


def evidence(file: Path, number: int) -> dict[str, Any]:
    """Run the suites on a sandbox, and return the record of each test without times and messages."""
    result = run_suites("suites", "-q", f"--gaia-concurrency={number}", f"--gaia-report-log={file}", timeout=300)
    assert result.returncode in (0, 1, 10), result.stdout + result.stderr
    return {each["node"]: without_values(each) for each in records(file) if each["line"] == "test"}


def without_values(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record of a test without messages and ports, which differ in each run."""
    failures = [phase["failure"] for phase in record.get("phases", ()) if "failure" in phase]
    for failure in failures:
        failure.pop("message", None)
    for exchange in record.get("exchanges", ()):
        exchange.pop("address", None)
    return record
