"""Runs that go wrong: a service that hangs or refuses, a server that stops, an interrupted or killed run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.plugin.concurrency.runs import GAIA, NUMBERS, Ended, arguments, make_project, read, run, until, variables
from tests.slow import in_full, with_workers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.concurrency.runs import Server

IMPATIENT = f"{GAIA}\n[env.small.timeouts]\nresponse = 2.0\n"

ASKS = """
import pytest

@pytest.mark.parametrize("number", range(NUMBER))
async def test_asks(shop, number):
    (await shop.get("/hang" if HANGS else f"/items/{number}")).expect(200)
"""

concurrency = pytest.mark.parametrize(
    ("number", "workers"), [(NUMBERS[1], ()), in_full(1, ()), in_full(NUMBERS[1], ("-n2",))], ids=str
)


def asks(number: int, hangs: str = "False") -> str:
    return ASKS.replace("NUMBER", str(number)).replace("HANGS", hangs)


@concurrency
def test_a_service_that_hangs_does_not_hold_the_run(
    tmp_path: Path, counting: Server, number: int, workers: tuple[str, ...]
) -> None:
    project = make_project(tmp_path, asks(60, "True"), gaia=IMPATIENT)

    ended = run(project, counting.url, number, *workers)

    assert ended.verdict["verdict"] in ("INFRA", "REJECT", "HOLD")
    assert ended.code == ended.verdict["exit_code"] != 0
    assert len(ended.tests) == 60
    # Three deadlines in a row, and what was in flight by then.
    assert len(counting.seen) <= (3 + 2 * number) * (2 if workers else 1)
    about = [each for each in ended.output.splitlines() if each.startswith("gaia: ") and "not respond" in each]
    assert len(about) == 1, ended.output


def test_tests_that_hang_do_not_fail_others(tmp_path: Path, counting: Server) -> None:
    project = make_project(tmp_path, asks(60, "number % 10 == 5"), gaia=IMPATIENT)

    ended = run(project, counting.url, NUMBERS[1])

    assert (ended.verdict["counts"]["failed"], ended.verdict["counts"]["passed"]) == (6, 54)
    assert counting.seen.count("GET /hang") == 6


@concurrency
def test_too_many_requests_are_not_repeated(
    tmp_path: Path, counting: Server, number: int, workers: tuple[str, ...]
) -> None:
    project = make_project(tmp_path, asks(30))
    counting.status, counting.headers = 429, {"Retry-After": "0"}

    ended = run(project, counting.url, number, *workers)

    assert (ended.verdict["verdict"], ended.verdict["counts"]["failed"]) == ("REJECT", 30)
    assert sorted(counting.seen) == sorted(f"GET /items/{number}" for number in range(30))


def test_a_server_that_stops_ends_every_test(tmp_path: Path, counting: Server) -> None:
    counting.delay = 0.05
    project = make_project(
        tmp_path, asks(80), gaia=IMPATIENT.replace("response", "connect = 0.2\nready = 1.0\nresponse")
    )
    process = begin(project, counting)
    until(lambda: len(counting.seen) >= 20)
    counting.close()

    ended = end(process, project)

    assert ended.verdict["verdict"] in ("INFRA", "REJECT"), ended.output
    assert len(ended.tests) == 80
    assert ended.verdict["counts"]["passed"] >= 12


def begin(project: Path, server: Server, *more: str, number: int = NUMBERS[1]) -> subprocess.Popen[str]:
    """Begin a run in a process of its own."""
    files = ("--gaia-report-log=run.jsonl", "--gaia-verdict-file=verdict.json", "-p", "no:allure_pytest")
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-v", *arguments(server.url, number), *files, *more],
        cwd=project,
        env=variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str], project: Path) -> Ended:
    """Wait for the end of a run, and read what it leaves."""
    try:
        output = process.communicate(timeout=60)[0]
    finally:
        process.kill()
    return read(Ended(process.returncode, output), project)


@pytest.mark.parametrize("path", ["items", in_full("hang")])
@pytest.mark.parametrize("workers", [(), with_workers("-n2")], ids=str)
def test_ctrl_c_ends_the_run(tmp_path: Path, counting: Server, path: str, workers: tuple[str, ...]) -> None:
    counting.delay = 0.1
    project = make_project(tmp_path, asks(200, str(path == "hang")))
    process = begin(project, counting, *workers)
    until(lambda: len(counting.seen) >= (20 if path == "items" else 1))
    process.send_signal(signal.SIGINT)

    ended = end(process, project)

    assert (ended.code, ended.verdict["verdict"]) == (2, "HOLD"), ended.output
    assert "never" not in ended.output.lower() or "was never awaited" not in ended.output
    assert "Task was destroyed" not in ended.output
    states = [each["state"] for each in ended.tests]
    assert len(states) == 200
    assert states.count("ran") < 200


@pytest.mark.parametrize("workers", [(), with_workers("-n2")], ids=str)
def test_a_killed_run_leaves_no_process(tmp_path: Path, counting: Server, workers: tuple[str, ...]) -> None:
    counting.delay = 0.1
    project = make_project(tmp_path, asks(200))
    process = begin(project, counting, *workers)
    # A worker sends a result after its request.
    until(lambda: len(counting.seen) >= 20 and '"line":"test"' in (project / "run.jsonl").read_text())
    process.kill()
    process.communicate(timeout=60)

    until(lambda: not members(process.pid))
    log = [json.loads(line) for line in (project / "run.jsonl").read_text().splitlines()]
    assert {each["line"] for each in log} >= {"run", "test"}
    asked = len(counting.seen)
    assert asked < 200


def members(session: int) -> list[str]:
    """Return the processes of a session."""
    listed = subprocess.run(
        ["ps", "-s", str(session), "-o", "pid=,stat=,args="], capture_output=True, text=True, check=False
    )
    return [each for each in listed.stdout.splitlines() if each.split()[1][0] != "Z"]


ENDS = {
    "interrupt": ("raise KeyboardInterrupt", 2),
    "exit": ("pytest.exit('enough', returncode=7)", 11),
}

STOPS = """
import asyncio
import pytest

@pytest.mark.parametrize("number", range(20))
async def test_asks(shop, number):
    (await shop.get(f"/items/{number}")).expect(200)
    if number == 9:
        ACTION
"""


@pytest.mark.parametrize("how", ENDS)
def test_a_test_that_ends_the_run_ends_it_at_its_turn(tmp_path: Path, counting: Server, how: str) -> None:
    action, code = ENDS[how]
    project = make_project(tmp_path, STOPS.replace("ACTION", action))

    alone, together = (run(project, counting.url, number) for number in NUMBERS)

    assert (together.code, together.verdict["verdict"]) == (code, "HOLD"), together.output
    assert [(each["node"], each["state"]) for each in together.tests] == [
        (each["node"], each["state"]) for each in alone.tests
    ]
    assert together.verdict["counts"] == alone.verdict["counts"]


@pytest.mark.skipif(os.name != "posix", reason="needs folders of POSIX")
def test_from_another_folder_and_without_a_home(tmp_path: Path, counting: Server) -> None:
    project = make_project(tmp_path / "project", asks(20))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "project",
        *arguments(counting.url, NUMBERS[1]),
        "-p",
        "no:cacheprovider",
    ]

    done = subprocess.run(
        [*command, f"--rootdir={project}", "-c", "project/pyproject.toml"],
        cwd=tmp_path,
        env={**variables(), "HOME": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "gaia verdict: PROMOTE on small: 20 passed" in done.stdout
