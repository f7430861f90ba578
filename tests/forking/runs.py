"""Forked runs of pytest."""

from __future__ import annotations

import io
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests.forking.client import Forked, fork_server
from tests.forking.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PATIENCE = 300.0

SUITE = """
import logging
import pytest
import pytest_gaia

def test_passes(): pass
async def test_waits(): logging.getLogger("one").warning("here")
def test_fails(): assert {"one": 1} == {"one": 2}
def test_raises(): raise ValueError("here")
@pytest.mark.xfail(strict=True)
def test_is_marked(): assert False
@pytest.mark.gaia(requires=["postgres"])
def test_does_not_apply(): pass
"""
"""a run of it loads most imports of pytest and pytest-gaia"""

PROJECT = """
[gaia]
platform = "gaia"
suites = ["suites"]
[env.small]
[env.small.tolerance]
max_expectation_age_days = 100000
"""
EXPECTATION = """
reason = "a reason"
issue = "GAIA-1"
owner = "@team"
created = 2026-11-01
expires = 2099-01-01
environments = ["small"]
tests = ["suites/small/test_small.py::test_raises"]
match = { kind = "error", message = "here" }
"""


def run_pytest(folder: Path, *arguments: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ``python -m pytest ARGUMENTS`` in ``folder`` with these variables and no others."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        command = [sys.executable, "-m", "pytest", *arguments]
        run = _fork(arguments, folder, variables, out, err) or subprocess.Popen(
            command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        try:
            code = run.wait(_PATIENCE)
        finally:
            run.kill()
            run.wait()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read().decode(), err.read().decode())


def fork_runs_of(pytester: pytest.Pytester) -> None:
    """Let ``pytester.runpytest_subprocess`` fork."""
    start = pytester.popen

    def begin(command: Sequence[str], stdout: Any, stderr: Any, **more: Any) -> Any:
        variables = dict(os.environ)
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path.cwd()), variables.get("PYTHONPATH")]))
        run = None
        if tuple(command[:2]) == (sys.executable, "-mpytest"):
            run = _fork(command[2:], Path.cwd(), variables, stdout, stderr)
        return run or start(command, stdout=stdout, stderr=stderr, **more)

    # The only place that starts a run.
    pytester.popen = begin  # type: ignore[assignment, method-assign]


def _fork(
    arguments: Sequence[str], folder: Path, variables: Mapping[str, str], stdout: IO[Any], stderr: IO[Any]
) -> Forked | None:
    """Fork ``python -m pytest ARGUMENTS`` in ``folder``; return None if it needs a real start."""
    server = fork_server("runs", variables)
    if server is None:
        return None
    with Path(os.devnull).open() as nothing:
        return server.run(["pytest", *arguments], folder, variables, (nothing, stdout, stderr), session=False)


def load() -> None:
    """Load the imports of runs with a run in its own folder."""
    from tests.plugin.conftest import SETTINGS, ScriptedServer

    folder = Path(tempfile.mkdtemp())
    small = folder / "suites" / "small"
    small.mkdir(parents=True)
    (small / "test_small.py").write_text(SUITE)
    (folder / "suites" / "expectations").mkdir()
    (folder / "suites" / "expectations" / "the-rule.toml").write_text(EXPECTATION)
    (folder / "gaia.toml").write_text(PROJECT)
    (folder / "pyproject.toml").write_text(SETTINGS)
    server = ScriptedServer()
    variables, streams = dict(os.environ), (sys.stdout, sys.stderr)
    for name in [name for name in variables if name.startswith(("GAIA_", "GITHUB_", "PYTEST_"))]:
        del os.environ[name]
    os.chdir(folder)
    said = io.StringIO()
    sys.stdout = sys.stderr = said
    try:
        code = pytest.main(["--gaia-env=small", f"--gaia-url=gateway={server.url}", "--gaia-verdict-file=verdict.json"])
    finally:
        sys.stdout, sys.stderr = streams
        server.close()
        # A lock that a thread holds at a fork is never released in the forked process.
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                thread.join(10)
        os.chdir(ROOT)
        os.environ.clear()
        os.environ.update(variables)
        shutil.rmtree(folder)
    if code != pytest.ExitCode.TESTS_FAILED:
        raise SystemExit(f"what loads everything was to fail in one test, but ended with {code!r}:\n{said.getvalue()}")


def run() -> int:
    """Act as ``python -m pytest``."""
    runpy.run_module("pytest", run_name="__main__", alter_sys=True)
    return 0
