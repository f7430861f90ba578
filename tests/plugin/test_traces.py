"""Request ID and trace ID of a request: recorded, and shown with the failure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.verdict.results_log import read_run
from tests.plugin.conftest import ScriptedServer, add_suite
from tests.slow import with_workers

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.verdict.evidence import TestRecord

CHECKS = """
async def test_passes(gateway):
    (await gateway.get("/health")).expect(200)

async def test_fails(gateway):
    (await gateway.get("/health")).expect(200)
    (await gateway.get("/broken", headers={"X-Request-ID": "given-by-the-test"})).expect(200)

def test_sends_nothing():
    assert False
"""


def recorded(folder: Path) -> dict[str, TestRecord]:
    return {test.node.rpartition("::")[2]: test for test in read_run(folder / "run.jsonl").tests}


@pytest.mark.parametrize("workers", [(), with_workers("-n2")], ids=["alone", "workers"])
def test_ids_are_recorded_and_shown_with_the_failure(
    project: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    (project.path / "gaia.toml").write_text('[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.small]\n')
    add_suite(project, "small", CHECKS)
    server.answers["/broken"] = [(500, {})]
    given = ("-p", "no:allure_pytest", "--gaia-env=small", f"--gaia-url=gateway={server.url}", *workers)
    text = project.runpytest_subprocess(*given, "--gaia-report-log=run.jsonl").stdout.str()

    records = recorded(project.path)
    passed, failed = records["test_passes"], records["test_fails"]
    assert len({passed.trace_id, failed.trace_id}) == 2
    assert records["test_sends_nothing"].trace_id == ""
    assert [each.trace_id for each in failed.exchanges] == ["", ""], "the same as that of the test"
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", failed.exchanges[0].request_id)
    assert failed.exchanges[1].request_id == "given-by-the-test"
    failure = failed.phases[1].failure
    assert failure is not None
    assert failed.trace_id not in failure.message
    assert f"  request ID given-by-the-test, trace ID {failed.trace_id}\n" in text
