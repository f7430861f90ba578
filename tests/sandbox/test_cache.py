"""The cluster is created once, and a sandbox starts with any state of the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import pytest_gaia
from pytest_gaia.run.sandbox import Sandbox
from pytest_gaia.sandbox import directories
from tests.projects import gaia_platform

pytestmark = pytest.mark.slow("sandbox")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    place = tmp_path / "the cache"
    monkeypatch.setenv("GAIA_CACHE_DIR", str(place))
    return place


def start() -> bool:
    """Run a sandbox briefly; return whether it created its cluster."""
    sandbox = Sandbox.start(gaia_platform())
    try:
        sandbox.ready()
        sandbox.stack("main")
        return (sandbox.directory / "initdb.log").exists()
    finally:
        sandbox.stop()


def archive(cache: Path) -> Path:
    """Return the one archive of a cache."""
    (found,) = cache.glob("cluster-*.tar")
    return found


def test_the_second_run_takes_what_the_first_has_made(cache: Path) -> None:
    assert start()
    made = archive(cache).stat()
    assert not made.st_mode & 0o077

    assert not start()

    assert archive(cache).stat().st_ino == made.st_ino


def test_damaged_archives_are_made_again(cache: Path) -> None:
    start()
    damaged = archive(cache)
    complete = damaged.read_bytes()

    for content in (complete[: len(complete) // 3], b"no archive at all" * 1000, b""):
        damaged.write_bytes(content)

        assert start()
        assert len(damaged.read_bytes()) == len(complete)


def test_a_cluster_that_the_server_refuses_is_made_again(cache: Path, tmp_path: Path) -> None:
    start()
    damaged = archive(cache)
    (tmp_path / "content").mkdir()
    subprocess.run(("tar", "-xf", damaged, "-C", tmp_path / "content"), check=True)
    (tmp_path / "content" / "data" / "global" / "pg_control").write_bytes(bytes(8192))
    subprocess.run(("tar", "-cf", damaged, "-C", tmp_path / "content", "."), check=True)

    assert start()
    assert not start()


def test_two_first_runs_make_one_cluster(cache: Path) -> None:
    first, second = Sandbox.start(gaia_platform()), Sandbox.start(gaia_platform())
    try:
        first.ready()
        second.ready()
        made = [(sandbox.directory / "initdb.log").exists() for sandbox in (first, second)]
    finally:
        first.stop()
        second.stop()

    assert sorted(made) == [False, True]
    assert archive(cache).stat().st_size


def test_no_cache_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GAIA_CACHE_DIR", str(tmp_path / "file" / "inside"))

    assert directories.cache_directory() is None
    assert start()
    assert start()


def test_archives_of_old_versions_are_removed(cache: Path) -> None:
    cache.mkdir(mode=0o700)
    for number in range(6):
        old = cache / f"cluster-{number}.tar"
        old.touch()
        os.utime(old, (number, number))

    start()

    assert {path.name for path in cache.glob("cluster-[0-9].tar")} == {f"cluster-{number}.tar" for number in (3, 4, 5)}


def test_the_cache_is_in_the_users_cache_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GAIA_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert directories.cache_directory() == tmp_path / "xdg" / "pytest-gaia"

    monkeypatch.delenv("XDG_CACHE_HOME")
    found = directories.cache_directory()
    assert found is not None
    assert found.is_relative_to(tmp_path / "home")


@pytest.mark.parametrize("home", [None, "", "relative", "/dev/null"])
def test_without_a_usable_home_the_cache_is_a_private_temporary_directory(
    home: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GAIA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    found = directories.cache_directory()

    assert found is not None
    assert found.parent == tmp_path
    assert found.stat().st_mode & 0o777 == 0o700


def test_a_cache_directory_that_others_can_write_to_is_not_trusted(cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o777)

    assert directories.cache_directory() is None


def test_modules_are_compiled_once_where_python_does_not_keep_them(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Path(pytest_gaia.__file__).parent
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, tmp_path / "source" / package.name, ignore=without)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "source"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    start()

    kept = [path.relative_to(cache) for path in (cache / "bytecode").rglob("*.pyc")]
    assert {"_supervisor", "gateway"} <= {path.name.split(".")[0] for path in kept}
    # The standard library's own compiled modules are used.
    assert "asyncio" not in {path.parent.name for path in kept}
    assert not list((tmp_path / "source").rglob("*.pyc"))
