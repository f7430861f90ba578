"""Allure is optional: without ``--alluredir`` it costs nothing, and without allure-pytest all else works."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.plugin.allure_runs import make_project, run
from tests.plugin.conftest import add_suite

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.conftest import ScriptedServer

pytestmark = pytest.mark.own_interpreter

LISTS = """
import sys
def pytest_unconfigure(config):
    print("LOADED", sorted(name for name in sys.modules if "allure" in name))
    print("HOOKS", sorted(name for name, _ in config.pluginmanager.list_name_plugin() if "gaia-allure" in name))
"""


def loaded(project: pytest.Pytester, *arguments: str) -> tuple[list[str], list[str]]:
    """Return the modules with allure in their name, and our hooks for it, at the end of a run."""
    result = project.runpytest_subprocess(*arguments, "-s")
    assert result.ret == 0
    said = {
        line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in result.outlines if line[:6] in ("LOADED", "HOOKS ")
    }
    return eval(said["LOADED"]), eval(said["HOOKS"])


@pytest.fixture
def small(project: pytest.Pytester) -> pytest.Pytester:
    project.makefile(".toml", gaia='[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.small]\n')
    project.makeconftest(LISTS)
    add_suite(project, "small", "def test_passes(): pass\n")
    return project


def given(server: ScriptedServer) -> tuple[str, ...]:
    return ("--gaia-env=small", f"--gaia-url=gateway={server.url}")


def test_a_run_without_alluredir_imports_nothing_of_it(small: pytest.Pytester, server: ScriptedServer) -> None:
    usual, _ = loaded(small, "-p", "no:gaia")

    modules, hooks = loaded(small, *given(server))

    assert modules == usual
    assert not hooks


def test_a_run_with_alluredir_takes_its_hooks_out_again(small: pytest.Pytester, server: ScriptedServer) -> None:
    small.makepyfile(
        twice="""
        import sys, pytest, allure_commons
        code = pytest.main(sys.argv[1:])
        # What is left is allure-pytest's own.
        left = {type(plugin).__name__ for plugin in allure_commons.plugin_manager.get_plugins()}
        assert left <= {"AllureTitleHelper"}, left
        sys.exit(code)
        """
    )

    result = small.run(sys.executable, "twice.py", *given(server), "--alluredir=allure", "-s")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["HOOKS*'gaia-allure'*'gaia-allure-ending'*"])


def test_a_run_that_only_looks_writes_nothing(small: pytest.Pytester, server: ScriptedServer) -> None:
    result = small.runpytest_subprocess(*given(server), "--alluredir=allure", "--collect-only")

    assert result.ret == 0
    assert not list((small.path / "allure").iterdir())


def test_without_allure_pytest_all_else_works(small: pytest.Pytester, server: ScriptedServer) -> None:
    result = small.runpytest_subprocess(*given(server), "-p", "no:allure_pytest", "--gaia-allure-expected=skipped")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["gaia verdict: PROMOTE on small: 1 passed*"])


def test_without_allure_pytest_its_option_is_pytests_to_refuse(small: pytest.Pytester, server: ScriptedServer) -> None:
    result = small.runpytest_subprocess(*given(server), "-p", "no:allure_pytest", "--alluredir=allure")

    assert result.ret == 4
    result.stderr.fnmatch_lines(["*unrecognized arguments: --alluredir=allure"])
    assert "Traceback" not in result.stderr.str()


def test_the_bridge_can_be_left_out(tmp_path: Path, server: ScriptedServer) -> None:
    make_project(tmp_path, "def test_passes(): pass\n")

    left = run(tmp_path, server.url, "-p", "no:gaia-allure")

    assert left.code == 0
    assert left.labels("test_passes", "env") == []
