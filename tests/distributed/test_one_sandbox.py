"""One sandbox a run, a platform of its own for each worker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugin.conftest import add_suite

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow("workers")

WRITE_DOWN = """
import json, os, pathlib
import pytest

@pytest.mark.parametrize("number", range(6))
async def test_where_am_i(number, gaia_env, gateway, postgres, nats, worker_id):
    (await gateway.get("/api/v0.2/personas")).expect(200)
    async with nats.subscribe("gaia.test.who") as events:
        await nats.publish("gaia.test.who", {"worker": worker_id})
        seen = await events.wait_for(subject="gaia.test.who", within=5)
    pathlib.Path("seen").mkdir(exist_ok=True)
    pathlib.Path("seen", f"{number}.json").write_text(json.dumps({
        "worker": worker_id,
        "heard": seen.data["worker"],
        "gateway": gaia_env.urls["gateway"],
        "database": await postgres.fetchval("select current_database()"),
        "server": str(await postgres.fetchval("select pg_postmaster_start_time()")),
    }))
"""


def seen(project: pytest.Pytester) -> list[dict[str, Any]]:
    folder: Path = project.path / "seen"
    return [json.loads(path.read_text()) for path in sorted(folder.iterdir())]


def test_workers_share_the_servers_and_nothing_else(project: pytest.Pytester) -> None:
    add_suite(project, "messaging", WRITE_DOWN)

    result = project.runpytest_subprocess("-n", "2", "--dist", "each")

    result.assert_outcomes(passed=12)
    result.stdout.no_fnmatch_line("*Warning*")
    project.runpytest_subprocess("-n", "2").assert_outcomes(passed=6)
    notes = seen(project)
    by_worker = {note["worker"]: (note["gateway"], note["database"]) for note in notes}
    assert {note["server"] for note in notes} == {notes[0]["server"]}
    assert len(set(by_worker.values())) == len(by_worker) == 2
    assert all(note["heard"] == note["worker"] for note in notes)


def test_a_crashed_worker_is_replaced_and_the_run_goes_on(project: pytest.Pytester) -> None:
    add_suite(
        project,
        "health",
        """
import os

def test_crash():
    os._exit(3)

async def test_after_the_crash(gateway):
    (await gateway.get("/health")).expect(200)
""",
    )

    result = project.runpytest_subprocess("-n", "1")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["gaia verdict: REJECT on sandbox: 1 crashed, 1 passed"])


def test_xdist_can_be_absent(project: pytest.Pytester) -> None:
    add_suite(project, "health", "async def test_health(gateway):\n    (await gateway.get('/health')).expect(200)\n")

    project.runpytest_subprocess("-p", "no:xdist").assert_outcomes(passed=1)
