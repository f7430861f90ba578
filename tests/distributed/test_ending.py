"""However a run ends, nothing of its sandbox is left: no process, no file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import add_suite

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow("workers")

HOLD = """
import pathlib, threading

def test_hold(gaia_env, gaia_run):
    pathlib.Path("directory").write_text(str(gaia_run.sandbox.directory))
    threading.Event().wait(60)
"""


@pytest.fixture
def held(project: pytest.Pytester) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A pytest process in the middle of a test, and the folder of its sandbox."""
    add_suite(project, "health", HOLD)
    command = [sys.executable, "-m", "pytest", "-q"]
    process = subprocess.Popen(
        command, cwd=project.path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    note = project.path / "directory"
    wait_for(lambda: note.is_file() and note.read_text() != "", 30)
    yield process, Path(note.read_text())
    process.kill()
    process.communicate()


def wait_for(condition: object, seconds: float) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def processes_of(directory: Path) -> list[str]:
    """Command lines of all processes that mention the sandbox's folder."""
    table = subprocess.run(["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in table.splitlines() if directory.name in line]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_nothing_is_left(held: tuple[subprocess.Popen[str], Path], how: signal.Signals) -> None:
    process, directory = held
    assert processes_of(directory)

    os.kill(process.pid, how)
    process.wait(60)

    wait_for(lambda: not processes_of(directory) and not directory.exists(), 30)


def test_ctrl_c_still_gives_a_summary(held: tuple[subprocess.Popen[str], Path]) -> None:
    process, _ = held

    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)

    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in output


def test_two_runs_at_once_do_not_meet(project: pytest.Pytester) -> None:
    add_suite(
        project,
        "personas",
        """
import pytest

@pytest.mark.gaia(writes=True)
async def test_the_same_name_can_be_taken(gateway):
    body = {"name": "gaia-test-same", "description": "d", "system_prompt": "s"}
    (await gateway.post("/api/v0.2/personas", json=body)).expect(200)
""",
    )
    command = [sys.executable, "-m", "pytest", "-q"]
    runs = [subprocess.Popen(command, cwd=project.path, stdout=subprocess.PIPE, text=True) for _ in range(2)]

    outputs = [run.communicate(timeout=60)[0] for run in runs]

    assert [run.returncode for run in runs] == [0, 0], outputs
