"""The next run cleans up after a killed run, and only after that."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.errors import SandboxError
from pytest_gaia.run.sandbox import Sandbox
from pytest_gaia.sandbox import directories, leftovers
from pytest_gaia.sandbox._processes import RECORDS, started_at
from tests.projects import gaia_platform
from tests.sandbox.processes import children, descendants, eventually, holder, mentioning, shared_memory_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow("sandbox")


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, set[int]]]:
    """A folder whose supervisor, server and run were killed, and their processes.

    Only runs of this test look for it there; those of tests at the same time would clear it, too.
    """
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(place))
    with holder("ready", "TMPDIR") as (run, (name,)):
        directory = Path(name)
        supervisors = set(mentioning(directory)) & descendants(run.pid)
        postmaster = children(directory)["postgres"]
        everything = {each for pid in supervisors for each in (pid, *descendants(pid))}
        # The postmaster first, so that no process frees its shared memory.
        for pid in (postmaster, *supervisors, run.pid):
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not mentioning(directory))
    yield directory, everything
    shutil.rmtree(place)


def test_the_next_run_clears_what_a_killed_one_left(left: tuple[Path, set[int]]) -> None:
    directory, everything = left
    assert directory.exists()
    assert shared_memory_of(everything) or sys.platform != "linux"

    sandbox = Sandbox.start(gaia_platform())
    try:
        sandbox.ready()

        assert eventually(lambda: not directory.exists())
        assert not shared_memory_of(everything)
    finally:
        sandbox.stop()


def test_a_run_that_lives_is_left_alone(sandbox: Sandbox) -> None:
    assert sandbox.directory not in leftovers.reclaim()

    assert sandbox.directory.exists()
    sandbox.stack("main")


def test_a_run_that_could_not_start_keeps_its_reason_until_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAIA_PG_BIN", str(tmp_path))
    sandbox = Sandbox.start(gaia_platform())
    try:
        assert eventually(lambda: not directories.is_held(sandbox.directory))

        leftovers.reclaim()

        with pytest.raises(SandboxError, match="GAIA_PG_BIN"):
            sandbox.ready()
    finally:
        sandbox.stop()
    assert not sandbox.directory.exists()


def test_servers_without_a_supervisor_are_ended(tmp_path: Path) -> None:
    orphan = subprocess.Popen(("sleep", "60"))
    records = tmp_path / RECORDS
    records.mkdir()
    (records / "nats").write_text(f"{orphan.pid} {started_at(orphan.pid)}")

    leftovers.end_children(tmp_path)

    assert orphan.wait(30) == -signal.SIGTERM


def test_a_process_that_does_not_want_to_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_END_SECONDS", 0.1)
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    stubborn = subprocess.Popen((sys.executable, "-c", program), stdout=subprocess.PIPE)
    with stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        records = tmp_path / RECORDS
        records.mkdir()
        (records / "nats").write_text(f"{stubborn.pid} {started_at(stubborn.pid)}")

        leftovers.end_children(tmp_path)

        assert stubborn.wait(30) == -signal.SIGKILL


def test_a_process_that_got_the_number_of_a_dead_one_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen(("sleep", "60"))
    try:
        records = tmp_path / RECORDS
        records.mkdir()
        (records / "nats").write_text(f"{stranger.pid} 1")
        (records / "postgres").write_text("not a number")

        leftovers.end_children(tmp_path)

        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that contains only runs of the test."""
    monkeypatch.setattr(directories, "MEMORY", tmp_path)
    monkeypatch.setattr(directories, "_SHARED", ())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_directory_that_is_being_made_is_left_alone(place: Path) -> None:
    fresh = place / f"{directories.PREFIX}{os.geteuid()}-fresh"
    fresh.mkdir()

    assert leftovers.reclaim() == []


def test_a_directory_that_was_never_finished_is_cleared_later(place: Path) -> None:
    old = place / f"{directories.PREFIX}{os.geteuid()}-old"
    old.mkdir()
    os.utime(old, (time.time() - 100, time.time() - 100))

    assert leftovers.reclaim() == [old]
    assert not old.exists()


def test_directories_of_other_users_and_links_are_left_alone(
    place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    precious = tmp_path_factory.mktemp("precious")
    (precious / directories.REQUEST).touch()
    (place / f"{directories.PREFIX}{os.geteuid()}-link").symlink_to(precious)
    other = place / f"{directories.PREFIX}{os.geteuid() + 1}-other"
    other.mkdir()
    (other / directories.REQUEST).touch()

    assert leftovers.reclaim() == []
    assert (precious / directories.REQUEST).exists()
    assert other.exists()
