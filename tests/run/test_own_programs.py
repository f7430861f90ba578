"""Runs of pytest on a sandbox with a project's own programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.sandbox._processes import started_at
from tests.plugin.conftest import SETTINGS
from tests.sandbox.processes import eventually
from tests.sandbox.shop import WEB

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = """
[platform]
name = "shop"

[services.orders]
depends_on = ["orders-db"]
[services.orders.sandbox]
command = ["python", "web.py", "{port}"]
env = { DATABASE_URL = "{orders-db.url}", WHO = "{stack}" }

[services.orders-db]
kind = "postgres"

[services.billing]

[env.qa]
services = ["orders"]
urls = { orders = "https://orders.example.com" }
"""

TESTS = """
import json, os, time
import pytest

@pytest.mark.gaia(requires=["orders"])
@pytest.mark.parametrize("number", range(4))
async def test_orders(orders, gaia_run, number):
    seen = (await orders.get("/health")).json(any_type=True)
    assert seen["env"]["WHO"] == gaia_run.process
    with open("seen.jsonl", "a") as file:
        print(json.dumps(seen), file=file, flush=True)
    if os.environ.get("WAIT"):
        time.sleep(30)

@pytest.mark.gaia(requires=["billing"])
def test_billing():
    raise AssertionError("it does not run")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a service of its own."""
    files = {"gaia.toml": PROJECT, "test_it.py": TESTS, "web.py": WEB, "pyproject.toml": SETTINGS}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def begin(project: Path, *words: str, **environ: str) -> subprocess.Popen[str]:
    """Begin a run of pytest."""
    command = (sys.executable, "-m", "pytest", "-rs", *words)
    # Errors of pytest itself must not hide: both streams are read.
    return subprocess.Popen(
        command, cwd=project, env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def seen(project: Path) -> list[dict[str, int]]:
    """Return what the tests saw of the programs."""
    try:
        return [json.loads(line) for line in (project / "seen.jsonl").read_text().splitlines()]
    except FileNotFoundError:
        return []


def ended(project: Path) -> bool:
    """Whether all programs, and what they have started, have ended."""
    return not any(started_at(each[key]) for each in seen(project) for key in ("pid", "child"))


def test_each_worker_has_its_own_program_and_all_end_with_the_run(project: Path) -> None:
    process = begin(project, "-n2")
    out = process.communicate(timeout=90)[0]

    assert process.returncode == 0, out
    assert "4 passed, 1 not applicable" in out
    assert "the sandbox does not run billing" in out
    assert "[services.billing.sandbox]" in out
    assert len({each["pid"] for each in seen(project)}) == 2
    assert ended(project)


def test_a_simulated_environment_keeps_its_services(project: Path) -> None:
    process = begin(project, "--gaia-env=qa", "--gaia-simulate")
    out = process.communicate(timeout=90)[0]

    assert "4 passed" in out
    assert "services: orders\n" in out
    assert "orders-db" not in out


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
def test_a_run_that_is_stopped_leaves_no_program(how: signal.Signals, project: Path) -> None:
    process = begin(project, WAIT="1")
    try:
        assert eventually(lambda: seen(project), within=60)

        process.send_signal(how)

        process.communicate(timeout=60)
        assert eventually(lambda: ended(project))
    finally:
        process.kill()


def test_a_program_that_does_not_start_is_an_environment_error(project: Path) -> None:
    (project / "web.py").write_text("raise SystemExit('no license')")

    process = begin(project)
    out = process.communicate(timeout=90)[0]

    assert process.returncode == 12, out
    assert "The sandbox cannot start orders: `python web.py " in out
    assert "ended with exit code 1 before it was ready. End of its log:" in out
    assert "no license" in out
