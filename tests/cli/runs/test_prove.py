"""``gaia prove`` with a sandbox: the score, survivors, and the ends of its processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import GAIA, Outcome
from tests.sandbox.test_failures import hide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Gaia = Callable[..., Outcome]

HEALTH = """
async def test_health(gateway):
    assert (await gateway.get("/health")).expect(200).json()["status"] == "healthy"

async def test_anything(gateway):
    await gateway.get("/api/v0.2/providers")
"""


@pytest.fixture
def suite(project: Path) -> Path:
    """A suite with a test that reads one field, and one that reads nothing."""
    (project / "pytest.toml").write_text('[pytest]\nasyncio_mode = "auto"\n', encoding="utf-8")
    (project / "checks" / "health" / "test_health.py").write_text(HEALTH, encoding="utf-8")
    return project


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["helth"], "unknown suite 'helth'; did you mean health?"),
        (["-e", "preview"], "faults are injected into the sandbox only, and the environment is preview."),
        (["-e", "preveiw"], "preveiw"),
        (["--fault", "gateway GET /health"], "--fault: expected SERVICE METHOD ROUTE KIND"),
        (["--catalog", "none.txt"], "none.txt: cannot be read: No such file or directory."),
        (["--budget", "soon"], "--budget"),
        (["--api", "old"], "--api: unknown API 'old'"),
    ],
)
def test_a_usage_error_is_one_message(suite: Path, gaia: Gaia, arguments: list[str], message: str) -> None:
    outcome = gaia("prove", *arguments)

    assert (outcome.code, outcome.out) == (4, "")
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_a_wrong_file_of_settings_is_named_with_its_line(suite: Path, gaia: Gaia) -> None:
    (suite / "checks" / "prove.toml").write_text("score = 90\nmin = 3\n", encoding="utf-8")

    outcome = gaia("prove")

    assert outcome.code == 4
    assert outcome.err.startswith("gaia: checks/prove.toml:2: min: unknown key")


def test_the_score_and_the_survivors(suite: Path, gaia: Gaia) -> None:
    accepted = "gateway GET /api/v0.2/providers reset"
    (suite / "faults.txt").write_text(
        "gateway GET /health status 500\n"
        "gateway GET /health drop status\n"
        "gateway GET /health drop version\n"
        'gateway GET /health set version "another"\n'
        "gateway GET /api/v0.2/providers reset\n"
        "gateway GET /api/v0.2/providers status 500\n"
        "gateway GET /gone reset\n"
    )
    (suite / "checks" / "prove.toml").write_text(
        "score = 90\ncatalog = '../faults.txt'\n"
        f"[[accepted]]\nfault = '{accepted}'\nreason = 'rare'\nowner = 'ana'\nexpires = 2020-01-01\n"
        "[[excluded]]\nmatch = '* set version \"*'\nreason = 'free text'\n"
    )

    outcome = gaia("prove", "-n", "1", "--json")

    found = json.loads(outcome.out)
    assert outcome.code == 11
    assert found["caught"] == 3
    assert found["tried"] == 6
    assert found["survivors"] == [
        "gateway GET /health drop version",
        "gateway GET /api/v0.2/providers status 500",
        "gateway GET /gone reset",
    ]
    assert found["not_requested"] == ["gateway GET /gone"]
    assert found["excluded"] == ['gateway GET /health set version "another"']
    assert found["excluded_share"] == 14.29
    assert found["caught_by"][accepted] == "checks/health/test_health.py::test_anything"
    assert found["suites"] == {"health": {"caught": 3, "faults": 5}}
    assert outcome.err == (
        "gaia: HOLD: the score is 50.0 %, and was 90 % (checks/prove.toml: score); "
        "checks/prove.toml excludes 14.3% of the faults, and may exclude 5%; "
        f"checks/prove.toml:4: the accepted survivor `{accepted}` has expired on 2020-01-01 (ana).\n"
    )


def test_generated_faults_are_written_and_a_survivor_is_tried_again(suite: Path, gaia: Gaia) -> None:
    assert gaia("prove", "--write-catalog", "faults.txt", "-n", "1").code == 0
    lines = (suite / "faults.txt").read_text(encoding="utf-8").splitlines()
    assert "gateway GET /health status 200 {}" in lines
    assert "gateway GET /api/v0.2/providers drop providers" in lines

    outcome = gaia("prove", "--fault", "gateway GET /health drop version", "--min-score", "50", "-n", "1")

    assert outcome.code == 11
    assert "  gateway GET /health drop version\n" in outcome.out
    assert "score 0.0%: 0 of 1 faults caught on 1 route" in outcome.out
    assert outcome.err == "gaia: HOLD: the score is 0.0 %, and --min-score is 50 %.\n"


def test_a_suite_that_does_not_pass_cannot_catch_anything(suite: Path, gaia: Gaia) -> None:
    text = 'async def test_health(gateway):\n    (await gateway.get("/health")).expect(418)\n'
    (suite / "checks" / "health" / "test_health.py").write_text(text, encoding="utf-8")

    outcome = gaia("prove", "-n", "1")

    assert outcome.code == 4
    assert outcome.err == "gaia: no test that passes sends a request, so there are no faults to try.\n"


def test_a_run_that_cannot_begin_says_why(suite: Path, gaia: Gaia) -> None:
    (suite / "checks" / "health" / "test_health.py").write_text("import nothing_of_this_name\n", encoding="utf-8")

    outcome = gaia("prove", "-n", "1")

    assert outcome.code == 4
    assert outcome.err == (
        "gaia: the tests cannot begin:\n"
        "checks/health/test_health.py: E   ModuleNotFoundError: No module named 'nothing_of_this_name'\n"
    )


def test_a_sandbox_that_does_not_start_says_why(
    suite: Path, gaia: Gaia, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide("uvicorn", tmp_path / "site", monkeypatch)

    outcome = gaia("prove", "-n", "1")

    assert outcome.code == 12
    assert outcome.err.startswith("gaia: the sandbox did not start")
    assert "pip install 'pytest-gaia[sandbox]'" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.slow("processes")
def test_a_fault_that_ends_pytest_ends_the_command(suite: Path, gaia: Gaia) -> None:
    text = (
        "import os\n"
        "async def test_health(gateway):\n"
        '    if "status" not in (await gateway.get("/health")).json():\n'
        "        os._exit(3)\n"
    )
    (suite / "checks" / "health" / "test_health.py").write_text(text, encoding="utf-8")

    outcome = gaia("prove", "-n", "1", "--fault", "gateway GET /health drop status")

    assert outcome.code == 12
    assert outcome.err.startswith("gaia: pytest ended unexpectedly (exit code 3).\n")


@pytest.mark.slow("processes")
def test_a_fault_that_makes_a_test_hang_is_caught(suite: Path, gaia: Gaia, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_gaia.prove.cells.LONGEST", 10.0)
    text = (
        "import asyncio\n"
        "async def test_health(gateway):\n"
        '    while "status" not in (await gateway.get("/health")).json():\n'
        "        await asyncio.sleep(0.1)\n"
    )
    (suite / "checks" / "health" / "test_health.py").write_text(text, encoding="utf-8")
    faults = [f"gateway GET /health drop {field}" for field in ("status", "version")]

    outcome = gaia("prove", "-n", "1", "--json", *(word for each in faults for word in ("--fault", each)))

    found = json.loads(outcome.out)
    assert found["caught_by"] == {faults[0]: "no reply within 10 s"}
    assert found["survivors"] == [faults[1]]


def family(pid: int) -> dict[int, str]:
    """Return the processes of the sessions below one process: id → command line."""
    listing = subprocess.run(
        ["ps", "-axww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(maxsplit=2) for line in listing.splitlines()]
    found: dict[int, str] = {}
    parents = {pid}
    while parents:
        below = {int(child): command for child, parent, command in rows if int(parent) in parents}
        found |= below
        parents = set(below)
    return found


@pytest.fixture
def proving(suite: Path) -> Iterator[tuple[subprocess.Popen[str], dict[int, str]]]:
    """A command that tries faults for long, and its processes."""
    slow = "".join(f"gateway GET /health slow 0.{number}\n" for number in range(100, 999))
    (suite / "faults.txt").write_text(slow, encoding="utf-8")
    command = [str(GAIA), "prove", "--catalog", "faults.txt", "-n", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while len([each for each in family(process.pid).values() if "postgres" in each]) < 2:
            assert time.monotonic() < until
            time.sleep(0.1)
        time.sleep(2)
        yield process, family(process.pid)
        process.kill()


def alive(processes: dict[int, str]) -> dict[int, str]:
    """Return those of the processes that still run after a while."""
    until = time.monotonic() + 30
    left = processes
    while left and time.monotonic() < until:
        time.sleep(0.1)
        left = {pid: command for pid, command in left.items() if _runs(pid)}
    return left


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow("processes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_prints_what_was_found_and_leaves_no_process(
    proving: tuple[subprocess.Popen[str], dict[int, str]], number: signal.Signals
) -> None:
    process, below = proving
    process.send_signal(number)

    output, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "gaia: interrupted" in errors
    assert " not tried, in " in output or "No fault was tried" in output
    assert alive(below) == {}


def test_a_killed_command_leaves_no_process(proving: tuple[subprocess.Popen[str], dict[int, str]]) -> None:
    process, below = proving
    process.kill()
    process.wait()

    assert alive(below) == {}
