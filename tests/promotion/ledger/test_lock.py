"""The lock of an environment: one holder, an end of its own, and numbers that only go up."""

from __future__ import annotations

import multiprocessing
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.errors import ConfigError, DeployLocked
from pytest_gaia.promotion.ledger.lock import LIFETIME, FilePlace, GitPlace, Lock, Place
from pytest_gaia.promotion.ledger.stores import GitReference

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(params=["file", "git", "git with a remote"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Place, Place]:
    """The same lock, as two processes or machines see it."""
    if request.param == "file":
        return FilePlace(tmp_path / "locks/staging.json"), FilePlace(tmp_path / "locks/staging.json")
    shared = tmp_path / "shared.git"
    subprocess.run(["git", "init", "-q", "--bare", shared], check=True)
    if request.param == "git":
        reference = GitReference(shared, "refs/gaia/locks")
        return GitPlace(reference, "staging"), GitPlace(reference, "staging")
    clones = [tmp_path / name for name in ("one", "two")]
    for clone in clones:
        subprocess.run(["git", "clone", "-q", shared, clone], check=True, capture_output=True)
    one, two = (GitPlace(GitReference(clone, "refs/gaia/locks", "origin"), "staging") for clone in clones)
    return one, two


def test_one_holds_it_and_the_other_is_told_by_whom_and_until_when(places: tuple[Place, Place]) -> None:
    first, second = (Lock(place, "staging", name) for place, name in zip(places, ("ada", "ben"), strict=True))
    assert first.acquire(NOW) == 1
    with pytest.raises(
        DeployLocked, match=r"staging is locked by ada since 2026-11-23T12:00.*expires at 2026-11-23T12:10"
    ):
        second.acquire(NOW)
    first.release()
    assert second.acquire(NOW) == 2


def test_a_holder_that_died_loses_it_in_time(places: tuple[Place, Place]) -> None:
    first, second = (Lock(place, "staging", name) for place, name in zip(places, ("ada", "ben"), strict=True))
    first.acquire(NOW)
    assert second.acquire(NOW + LIFETIME) == 2
    with pytest.raises(DeployLocked, match="ben has taken it"):
        first.renew(NOW + LIFETIME)
    first.release()
    with pytest.raises(DeployLocked, match="locked by ben"):
        Lock(places[0], "staging", "eve").acquire(NOW + LIFETIME)


def test_a_holder_that_renews_keeps_it(places: tuple[Place, Place]) -> None:
    first, second = (Lock(place, "staging", name) for place, name in zip(places, ("ada", "ben"), strict=True))
    first.acquire(NOW)
    first.renew(NOW + LIFETIME - timedelta(seconds=1))
    with pytest.raises(DeployLocked):
        second.acquire(NOW + LIFETIME)


def _try(path: Path, start: Any, won: Any) -> None:
    start.wait()
    try:
        won.put(Lock(FilePlace(path), "staging", "x").acquire(NOW))
    except DeployLocked:
        won.put(0)


def test_of_many_processes_at_once_exactly_one_has_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, won = context.Event(), context.Queue()
    processes = [context.Process(target=_try, args=(tmp_path / "lock.json", start, won)) for _ in range(6)]
    for process in processes:
        process.start()
    start.set()
    numbers = sorted(won.get(timeout=30) for _ in processes)
    for process in processes:
        process.join()
    assert numbers == [0, 0, 0, 0, 0, 1]


def test_a_lock_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    path.write_text("nonsense")
    with pytest.raises(ConfigError, match=r"the lock is not readable: .*If no promotion is running, remove it"):
        Lock(FilePlace(path), "staging", "ada").acquire(NOW)


def test_a_place_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("a file")
    with pytest.raises(ConfigError, match=r"the lock cannot be used: .*Nothing was changed"):
        Lock(FilePlace(tmp_path / "locks/staging.json"), "staging", "ada").acquire(NOW)
