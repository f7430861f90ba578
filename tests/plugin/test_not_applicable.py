"""What a fixture finds missing leaves out every test that asks for it, however long the fixture lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import add_suite
from tests.plugin.ways import verdict
from tests.slow import with_workers

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

CHECKS = """
import pytest
from pytest_gaia.errors import NotApplicable

@pytest.fixture(scope="SCOPE")
def lacking(gaia_env, request):
    LACKS

@pytest.fixture
def around(lacking): ...

def test_one(lacking): ...
def test_another(lacking): ...
def test_through_another_fixture(around): ...
def test_dynamic(request): request.getfixturevalue("lacking")
def test_without(): ...
"""


OWN = 'raise NotApplicable(f"{gaia_env.name} has none")'
"""what a project raises is a skip"""
OURS = 'request.getfixturevalue("gaia_sandbox")'
"""what a fixture of this package raises"""


@pytest.mark.parametrize(("lacks", "outcome"), [(OURS, "not applicable"), (OWN, "skipped")], ids=["ours", "own"])
@pytest.mark.parametrize("scope", ["function", "module", "session"])
def test_each_test_of_a_fixture_that_lacks_something_is_left_out(
    project: pytest.Pytester, server: ScriptedServer, scope: str, lacks: str, outcome: str
) -> None:
    project.makefile(".toml", gaia='[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.small]\nnats = "disabled"\n')
    add_suite(project, "health", CHECKS.replace("SCOPE", scope).replace("LACKS", lacks))

    result = project.runpytest_subprocess("--gaia-env=small", f"--gaia-url=gateway={server.url}", "-rs")

    assert result.ret == 0
    result.stdout.fnmatch_lines([f"gaia verdict: PROMOTE on small: 1 passed, 4 {outcome}"])


LATE = """
import pytest
from pytest_gaia.errors import NotApplicable

@pytest.fixture
def torn():
    yield
    raise NotApplicable("too late")

def test_finds_it_in_its_call(): raise NotApplicable("there is none")
async def test_finds_it_while_it_waits(): raise NotApplicable("there is none")
def test_finds_it_when_it_is_torn_down(torn): ...
def test_finds_it_in_a_part(subtests):
    with subtests.test("one"): ...
    with subtests.test("another"): raise NotApplicable("there is none")
"""


@pytest.mark.parametrize("workers", [(), with_workers("-n1")], ids=["alone", "workers"])
def test_only_a_whole_test_can_be_left_out(
    project: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    project.makefile(".toml", gaia='[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.small]\nnats = "disabled"\n')
    add_suite(project, "health", LATE)

    result = project.runpytest_subprocess(
        "--gaia-env=small",
        f"--gaia-url=gateway={server.url}",
        "--gaia-verdict-file=verdict.json",
        "-p",
        "no:allure_pytest",
        *workers,
    )

    assert result.ret == 1
    assert {test["node"].rpartition("::")[2]: test["outcome"] for test in verdict(project)["tests"]} == {
        "test_finds_it_in_its_call": "skipped",
        "test_finds_it_while_it_waits": "skipped",
        "test_finds_it_when_it_is_torn_down": "error",
        "test_finds_it_in_a_part": "failed",
    }
