"""Locks and journals: what both journals promise, and what every lock does."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.promote import _journal as promote_journal
from pytest_gaia.rollout import journal as rollout_journal
from pytest_gaia.system.processes import held, hold, is_held, try_hold

WHEN = "2026-01-02T03:04:05+00:00"


def a_promotion_adds(root: Path) -> Path:
    journal = promote_journal.Journal(root, "staging")
    journal.add(promote_journal.Mark(step="begin", run="one", when=WHEN, release="b"))
    return journal.path


def a_roll_out_adds(root: Path) -> Path:
    journal = rollout_journal.Journal(root, "staging")
    journal.add(rollout_journal.Entry(event="begin", run="one", when=WHEN))
    return journal.path


BOTH = pytest.mark.parametrize("add", [a_promotion_adds, a_roll_out_adds])


@BOTH
def test_a_disk_that_takes_a_part_of_a_line_is_said_to_be_full(
    add: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:-1]))

    with pytest.raises((OSError, ConfigError), match=os.strerror(errno.ENOSPC)):
        add(tmp_path)


@BOTH
def test_a_new_file_and_its_name_are_on_the_disk(
    add: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync = os.fsync

    def remember(descriptor: int) -> None:
        mode = os.fstat(descriptor).st_mode
        synced.append("folder" if stat.S_ISDIR(mode) else "file")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", remember)

    add(tmp_path)
    add(tmp_path)

    assert synced == ["file", "folder", "file"]


@BOTH
def test_a_journal_is_its_owners_alone_and_not_in_git(add: Callable[[Path], Path], tmp_path: Path) -> None:
    path = add(tmp_path)

    assert path.stat().st_mode & 0o077 == 0
    assert (path.parent / ".gitignore").read_text() == "*\n"


def test_a_lock_is_held_until_its_descriptor_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    assert not path.exists()

    with held(path):
        assert is_held(path)
        assert try_hold(path) is None
    assert path.exists()
    assert not is_held(path)


def test_who_waits_gets_it_when_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = hold(path)
    thread = threading.Timer(0.2, os.close, (first,))
    thread.start()

    second = hold(path)

    thread.join()
    os.close(second)


def test_a_process_that_is_killed_frees_it_unless_another_has_inherited_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    program = "import sys, pathlib, time; from pytest_gaia.system.processes import hold; hold(pathlib.Path(sys.argv[1])); print(); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert is_held(path)
        process.kill()
    assert not is_held(path)

    descriptor = hold(path)
    with subprocess.Popen(["sleep", "60"], pass_fds=(descriptor,)) as process:
        os.close(descriptor)
        assert is_held(path)
        process.kill()
    assert not is_held(path)


@pytest.mark.parametrize("take", [hold, try_hold])
def test_a_link_is_no_lock(take: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match=r"symbolic links|loop"):
        take(tmp_path / "lock")
    assert not (tmp_path / "elsewhere").exists()
