"""A project that does not use Gaia runs as if the plugin were not there."""

from __future__ import annotations

import re

import pytest


def output(result: pytest.RunResult) -> list[str]:
    """Lines of a run without what differs between any two runs: times, and the list of plugins."""
    lines = [re.sub(r"in \d+\.\d+s", "in Ns", line) for line in result.outlines]
    return [re.sub(r"gaia-[\d.]+(, )?", "", line) for line in lines]


def test_without_gaia_toml_and_options_nothing_changes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        def test_passes(): pass

        @pytest.mark.skip
        def test_skipped(): pass

        def test_fails(): assert False
        """
    )
    arguments = ("-p", "no:anyio", "-p", "no:cacheprovider", "-ra")

    with_plugin = pytester.runpytest_subprocess(*arguments)
    without_plugin = pytester.runpytest_subprocess(*arguments, "-p", "no:gaia")

    assert output(with_plugin) == output(without_plugin)
    assert with_plugin.ret == without_plugin.ret == pytest.ExitCode.TESTS_FAILED


def test_a_run_outside_of_the_named_suites_does_not_use_gaia(project: pytest.Pytester) -> None:
    project.makepyfile(test_elsewhere="def test_passes(): pass")

    result = project.runpytest_subprocess("test_elsewhere.py")

    assert result.ret == 0
    result.stdout.no_fnmatch_line("*gaia:*")


def test_a_fixture_without_an_environment_says_how_to_choose_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_needs_it(gaia_env): pass")

    result = pytester.runpytest_subprocess("-p", "no:anyio")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*this run does not use Gaia*--gaia-env=sandbox*"])
    result.stdout.no_fnmatch_line("*Traceback*")
