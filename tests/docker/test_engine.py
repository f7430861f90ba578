"""The engine of these tests: alone in its namespaces, gone with the process that started it, and required in CI."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docker.engine import PATIENCE, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.docker.engine import Engine

pytestmark = pytest.mark.slow("docker")

WEB = """\
services:
  web:
    image: tiny
    command: httpd -f -p 8000 -h /www
    ports: ["127.0.0.1:18000:8000"]
    healthcheck: {test: [CMD, wget, -qO-, "http://127.0.0.1:8000/health"], interval: 1s}
"""
HOLD = """\
import time
from pathlib import Path

def test_it(engine, tmp_path):
    with engine.project(tmp_path, {compose!r}) as project:
        project.up()
        Path({ready!r}).write_text(str(engine.folder))
        time.sleep(300)
"""


def test_a_published_port_answers_in_its_network_only(engine: Engine, tmp_path: Path) -> None:
    asked = ("wget", "-qO-", "http://127.0.0.1:18000/health")
    with engine.project(tmp_path, WEB) as project:
        project.up()

        inside = project.run(*asked)
        outside = subprocess.run(["busybox", *asked], capture_output=True, check=False, timeout=PATIENCE)

    assert (inside.code, inside.out.strip()) == (0, '{"status": "healthy"}')
    assert outside.returncode != 0
    assert engine.docker("ps", "--all", "--quiet") == ""


def test_a_killed_run_leaves_nothing(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    run = pytest_in(tmp_path, HOLD.format(compose=WEB, ready=str(ready)))
    try:
        wait_until(ready.exists)
        folder = Path(ready.read_text())
        network = str(Path(f"/proc/{(folder / 'pid').read_text().strip()}/ns/net").readlink())
        assert {"dockerd", "containerd", "docker-proxy", "httpd"} <= processes(folder.name, network)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate(timeout=PATIENCE)

    wait_until(lambda: not folder.exists())
    assert processes(folder.name, network) == set()
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()
    assert list(Path("/sys/fs/cgroup").rglob(f"gaia-{folder.name}*")) == []
    assert "172.30.0.1" not in subprocess.run(["ip", "addr"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("required", "code"), [("", 0), ("required", 1)])
def test_without_an_engine_its_tests_are_skipped_with_a_summary_or_fail(
    tmp_path: Path, required: str, code: int
) -> None:
    run = pytest_in(tmp_path, "def test_it(engine): pass", PATH=str(tmp_path), DOCKER_TESTS=required)

    out, _ = run.communicate(timeout=PATIENCE)

    assert run.returncode == code, out
    if required:
        assert "dockerd is not on PATH, and DOCKER_TESTS=required: `ci/setup docker` installs it." in out
    else:
        said = "1 test of a Docker engine was left out: dockerd is not on PATH; `ci/setup docker` installs it."
        assert said in out.splitlines()


CONFTEST = """\
from tests.docker.conftest import engine
from tests.left_out import pytest_terminal_summary
"""


def pytest_in(folder: Path, test: str, **variables: str) -> subprocess.Popen[str]:
    """Start a run of one test that may use the fixture ``engine``."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(test)
    ours = ("GAIA_", "PYTEST_", "DOCKER_TESTS")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:gaia", "-p", "no:cacheprovider", str(folder)],
        cwd=folder,
        env={**environ, "PYTHONPATH": str(ROOT), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def processes(name: str, network: str) -> set[str]:
    """Return the names of the processes in an engine's network, and of those in its cgroups: its containers."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            in_its_network = str((process / "ns" / "net").readlink()) == network
            if in_its_network or f"gaia-{name}" in (process / "cgroup").read_text():
                found.add((process / "comm").read_text().strip())
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
