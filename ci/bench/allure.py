"""Measure the cost of the Allure bridge over allure-pytest alone, with 5,000 trivial tests.

Both runs write their results to a file system in memory if there is one, because a slow disk takes longer to create a
file than the bridge takes to fill it.
"""

from __future__ import annotations

from pathlib import Path

from ci.bench.evaluating import healthy_server
from ci.bench.memory import folder_in_memory
from ci.bench.processes import seconds_of

TESTS = 5000

_TEST = """
import pytest

@pytest.mark.parametrize("number", range({tests}))
def test_trivial(number):
    pass
"""


def rounds(count: int) -> tuple[float, float]:
    """Run each way ``count`` times in turn. Return the seconds of the fastest run, alone and with the bridge."""
    alone, bridged = [], []
    with folder_in_memory() as folder, healthy_server() as url:
        project = Path(folder)
        (project / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = session\n")
        (project / "gaia.toml").write_text('[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.bench]\n')
        suite = project / "suites" / "small"
        suite.mkdir(parents=True)
        (suite / "test_trivial.py").write_text(_TEST.format(tests=TESTS))
        given = ("--gaia-env=bench", f"--gaia-url={url}", "--alluredir=allure", "--clean-alluredir")
        for _ in range(count):
            alone.append(seconds_of(project, *given, "-p", "no:gaia-allure", needs="allure_pytest"))
            bridged.append(seconds_of(project, *given, needs="allure_pytest"))
    return min(alone), min(bridged)
