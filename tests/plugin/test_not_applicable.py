"""What a fixture finds missing leaves out every test that asks for it, however long the fixture lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import add_suite

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

CHECKS = """
import pytest
from pytest_gaia.errors import NotApplicable

@pytest.fixture(scope="SCOPE")
def lacking(gaia_env):
    raise NotApplicable(f"{gaia_env.name} has none")

@pytest.fixture
def around(lacking): ...

def test_one(lacking): ...
def test_another(lacking): ...
def test_through_another_fixture(around): ...
def test_dynamic(request): request.getfixturevalue("lacking")
def test_without(): ...
"""


@pytest.mark.parametrize("scope", ["function", "module", "session"])
def test_each_test_of_a_fixture_that_lacks_something_is_left_out(
    project: pytest.Pytester, server: ScriptedServer, scope: str
) -> None:
    project.makefile(".toml", gaia='[gaia]\nsuites = ["suites"]\n[env.small]\nnats = "disabled"\n')
    add_suite(project, "health", CHECKS.replace("SCOPE", scope))

    result = project.runpytest_subprocess("--gaia-env=small", f"--gaia-url=gateway={server.url}", "-rs")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["gaia verdict: PROMOTE on small: 1 passed, 4 not applicable"])
