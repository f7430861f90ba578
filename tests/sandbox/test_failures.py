"""A sandbox that cannot start gives one message: what failed, the end of its log, and what to do."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pytest_gaia.errors import SandboxError
from pytest_gaia.run.sandbox import Sandbox
from tests.projects import gaia_platform
from tests.sandbox.processes import mentioning

pytestmark = pytest.mark.slow("sandbox")


def failure() -> str:
    """Start a sandbox that fails, assert that nothing is left, and return the message."""
    sandbox = Sandbox.start(gaia_platform())
    try:
        with pytest.raises(SandboxError) as caught:
            sandbox.ready()
    finally:
        sandbox.stop()
    assert not sandbox.directory.exists()
    assert not mentioning(sandbox.directory)
    message = str(caught.value)
    assert "Traceback" not in message
    return message


def hide(package: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide a package from new processes, as if it were not installed."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] == {package!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.parametrize("package", ["uvicorn", "httptools", "asyncpg"])
def test_a_missing_library_names_the_extra(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(package, tmp_path / "site", monkeypatch)

    message = failure()

    assert package in message
    assert "pip install 'pytest-gaia[sandbox]'" in message


def test_a_folder_without_postgres_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIA_PG_BIN", str(tmp_path))

    assert f"GAIA_PG_BIN={tmp_path} must be a folder with the programs postgres and initdb" in failure()


def test_a_broker_that_is_no_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIA_NATS_BIN", str(tmp_path))

    assert f"GAIA_NATS_BIN={tmp_path} is not a program" in failure()


def test_a_broker_that_ends_shows_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "broker"
    program.write_text("#!/bin/sh\necho out of order >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("GAIA_NATS_BIN", str(program))

    message = failure()

    assert "NATS did not start" in message
    assert "out of order" in message


def test_a_program_for_another_machine_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "broker"
    program.write_bytes(b"\x7fELF of another kind")
    program.chmod(0o755)
    monkeypatch.setenv("GAIA_NATS_BIN", str(program))

    assert f"{program} cannot be started" in failure()


def test_initdb_that_fails_shows_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIA_CACHE_DIR", str(tmp_path / "cache"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, hard))
    try:
        message = failure()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert "Creating a cluster" in message
    assert "File too large" in message


def test_no_place_for_a_directory_reports_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_gaia.sandbox.directories.ENOUGH", 1 << 60)
    monkeypatch.setattr("pytest_gaia.sandbox.directories._SHARED", ())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))

    with pytest.raises(SandboxError, match="Set TMPDIR"):
        Sandbox.start(gaia_platform())


def test_waiting_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "broker"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("GAIA_NATS_BIN", str(program))
    sandbox = Sandbox.start(gaia_platform())
    try:
        with pytest.raises(SandboxError, match=r"not ready after 0\.5 s"):
            sandbox.ready(timeout=0.5)
    finally:
        sandbox.stop()
    assert not sandbox.directory.exists()
    assert not mentioning(sandbox.directory)


def test_a_port_that_was_taken_meanwhile_is_an_error_that_names_the_server() -> None:
    sandbox = Sandbox.start(gaia_platform())
    try:
        sandbox.ready()
        sandbox.stop_service("nats")
        with socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.bind(("127.0.0.1", int(sandbox.stack("main").nats.rpartition(":")[2])))
            thief.listen()
            with pytest.raises(SandboxError, match="NATS did not start"):
                sandbox.start_service("nats")
        sandbox.start_service("nats")
    finally:
        sandbox.stop()


def test_the_supervisor_alone_reports_how_it_is_used() -> None:
    response = subprocess.run(
        (sys.executable, "-m", "pytest_gaia.sandbox"), capture_output=True, text=True, check=False
    )

    assert response.returncode == 2
    assert "gaia sandbox up" in response.stderr
    assert os.linesep + "Traceback" not in response.stderr


IN_LITTLE_ROOM = """
import sys, tempfile
from pytest_gaia.errors import SandboxError
from pytest_gaia.run.sandbox import Sandbox
from pytest_gaia.sandbox import directories
from tests.projects import gaia_platform

directories.ENOUGH = 1 << 60
tempfile.tempdir = sys.argv[1]
sandbox = Sandbox.start(gaia_platform())
try:
    sandbox.ready()
except SandboxError as error:
    print(error)
finally:
    sandbox.stop()
print("left behind" if sandbox.directory.exists() else "nothing left")
"""


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can make a small file system")
@pytest.mark.parametrize("cached", [True, False])
def test_no_room_reports_where_and_what_to_do(cached: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIA_CACHE_DIR", str(tmp_path / "cache"))
    if cached:
        sandbox = Sandbox.start(gaia_platform())
        sandbox.ready()
        sandbox.stop()
    place = Path(tempfile.mkdtemp())
    # In its own mount namespace, which ends with its last process.
    mount = 'mount -t tmpfs -o size=8M,mode=1777 none "$1" && exec "$2" -c "$3" "$1"'
    command = ("unshare", "-m", "sh", "-c", mount, "sh", place, sys.executable, IN_LITTLE_ROOM)
    response = subprocess.run(command, capture_output=True, text=True, check=False)
    place.rmdir()
    if "Operation not permitted" in response.stderr:
        pytest.skip("this root may not mount")

    assert "No space left on device" in response.stdout
    assert str(place) in response.stdout
    assert "set TMPDIR" in response.stdout
    assert "nothing left" in response.stdout
    # The archive is not the cause.
    assert bool(list(tmp_path.glob("cache/cluster-*.tar"))) == cached
