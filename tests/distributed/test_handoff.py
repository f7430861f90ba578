"""What the controller hands to its workers lies in a folder, and of that nothing is left, however the run ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.distributed.test_ending import wait_for
from tests.plugin.conftest import add_suite, server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugin.conftest import ScriptedServer

__all__ = ["server"]

HOLD = """
import pathlib, pytest, threading

@pytest.fixture(autouse=True)
def note(request):
    pathlib.Path("directory").write_text(request.config.workerinput["gaia_handoff"])

def test_hold(): threading.Event().wait(60)
"""
NOTE = HOLD.replace("threading.Event().wait(60)", "pass")


@pytest.fixture
def small(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project that runs with a worker and without a sandbox."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    project.makefile(".toml", gaia='[gaia]\nsuites = ["suites"]\n[services.gateway]\n[env.small]\n')
    add_suite(project, "small", HOLD)
    return project


def arguments(server: ScriptedServer) -> tuple[str, ...]:
    return ("--gaia-env=small", f"--gaia-url=gateway={server.url}", "-n1")


def noted(project: pytest.Pytester) -> Path:
    """The folder of the run whose test was the last to begin."""
    return Path((project.path / "directory").read_text())


@pytest.fixture
def held(small: pytest.Pytester, server: ScriptedServer) -> Iterator[subprocess.Popen[bytes]]:
    """A controller whose worker is in the middle of a test."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments(server)],
        cwd=small.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    note = small.path / "directory"
    wait_for(lambda: note.is_file() and note.read_text() != "", 30)
    directory = note.read_text()
    yield process
    process.kill()
    process.wait()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.parametrize(("ending", "code"), [("pass", 0), ("assert False", 1), ("pytest.exit('enough')", 2)])
def test_a_run_that_ends_by_itself_leaves_nothing(
    small: pytest.Pytester, server: ScriptedServer, ending: str, code: int
) -> None:
    (small.path / "suites" / "small" / "test_small.py").write_text(NOTE.replace("pass", ending))

    assert small.runpytest_subprocess(*arguments(server)).ret == code

    assert not noted(small).exists()


@pytest.mark.slow("workers")
def test_an_interrupted_run_leaves_nothing(small: pytest.Pytester, held: subprocess.Popen[bytes]) -> None:
    directory = noted(small)
    assert directory.is_dir()

    # As from a terminal: to the workers, too.
    os.killpg(held.pid, signal.SIGINT)

    assert held.wait(60) == pytest.ExitCode.INTERRUPTED
    assert not directory.exists()


@pytest.mark.slow("workers")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_what_a_killed_run_leaves_is_cleared_away_by_the_next(
    small: pytest.Pytester, server: ScriptedServer, held: subprocess.Popen[bytes], how: signal.Signals
) -> None:
    directory = noted(small)
    os.kill(held.pid, how)
    held.wait(60)
    (small.path / "suites" / "small" / "test_small.py").write_text(NOTE)

    # A folder without a request is not taken for one that is still being made when it is old.
    past = time.time() - 120
    os.utime(directory, (past, past))
    assert small.runpytest_subprocess(*arguments(server)).ret == 0

    assert not directory.exists()
    assert not noted(small).exists()


@pytest.mark.slow("workers")
def test_the_folder_of_a_run_that_lives_is_left_alone(
    small: pytest.Pytester, server: ScriptedServer, held: subprocess.Popen[bytes]
) -> None:
    directory = noted(small)
    os.utime(directory, (0, 0))
    (small.path / "suites" / "small" / "test_small.py").write_text(NOTE)

    assert small.runpytest_subprocess(*arguments(server)).ret == 0

    assert held.poll() is None
    assert [each.name for each in directory.iterdir() if each.suffix == ".json"] == ["observation.json"]


LACKING = """
async def test_one(gateway): (await gateway.get("/orders")).expect(200)
"""


def test_a_worker_that_collects_before_the_environment_is_observed_knows_it_too(
    small: pytest.Pytester, server: ScriptedServer
) -> None:
    (small.path / "suites" / "small" / "test_small.py").write_text(LACKING)
    # A worker needs less time to collect.
    server.answers["/health"] = [*[(503, {})] * 7, (200, {"status": "healthy"})]
    server.answers["/openapi.json"] = [(200, {"openapi": "3.1.0", "paths": {"/health": {"get": {}}}})]

    result = small.runpytest_subprocess(*arguments(server))

    result.stdout.fnmatch_lines(["gaia: not offered by this release: 1 test needs 1 operation"])
    result.stdout.no_fnmatch_line("FAILED*")
