"""What was collected is kept from the search for garbage while tests run, and from nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import add_suite
from tests.slow import with_workers

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

FROZEN = "import gc\ndef test_one(): assert gc.get_freeze_count() > 10_000\n"
LEAKING = """
import gc

class Kept:
    def __init__(self):
        self.itself = self
        self.file = open(__file__)

kept = Kept()

def test_one():
    global kept
    kept = None

def test_two():
    # Of what a test makes itself, nothing is held back.
    made = []
    class Noted(list):
        def __del__(self):
            made.append("gone")
    Noted.ring = ring = Noted()
    ring.append(ring)
    del Noted.ring, ring
    gc.collect()
    assert made == ["gone"]
"""
WORKERS = pytest.mark.parametrize("workers", [(), with_workers("-n", "2")], ids=["one", "workers"])


def run(project: pytest.Pytester, server: ScriptedServer, *arguments: str) -> pytest.RunResult:
    project.makefile(
        ".toml", gaia='[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.here]\ntopology = "gateway-only"\n'
    )
    return project.runpytest_subprocess("--gaia-env=here", f"--gaia-url=gateway={server.url}", *arguments)


@WORKERS
def test_what_was_collected_is_left_out_while_tests_run(
    project: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    add_suite(project, "health", FROZEN)

    assert run(project, server, *workers).ret == 0


def test_what_a_file_leaves_behind_is_still_reported_at_the_end(
    project: pytest.Pytester, server: ScriptedServer
) -> None:
    add_suite(project, "health", LEAKING)

    result = run(project, server, "-W", "default")

    result.assert_outcomes(passed=2)
    assert "ResourceWarning: unclosed file" in result.stdout.str() + result.stderr.str()


def test_nothing_stays_frozen_after_a_run_in_this_process(project: pytest.Pytester, server: ScriptedServer) -> None:
    add_suite(project, "health", FROZEN)
    project.makeconftest("import gc\ndef pytest_unconfigure(): print('frozen:', gc.get_freeze_count())\n")

    run(project, server, "-s").stdout.fnmatch_lines(["frozen: 0"])
