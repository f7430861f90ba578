"""A project that does not use Gaia runs as if the plugin were not there."""

from __future__ import annotations

import os
import re

import pytest

from pytest_gaia.fixtures import static
from pytest_gaia.plugin import Fixtures
from tests.slow import in_full

PROJECT = {
    "test_all": """
        import asyncio, unittest, warnings
        import pytest

        def test_passes(tmp_path, record_property):
            record_property("key", "value")
            warnings.warn("a warning")

        @pytest.mark.skip
        def test_skipped(): pass

        @pytest.mark.xfail
        def test_xfails(): assert False

        @pytest.mark.xfail
        def test_xpasses(): pass

        @pytest.fixture
        def broken():
            yield
            assert False

        def test_error(broken): print("printed")

        @pytest.mark.flaky(reruns=1)
        def test_fails(subtests):
            with subtests.test("a part"):
                assert [1, 2] == [1, 3]

        class TestCase(unittest.IsolatedAsyncioTestCase):
            async def test_unittest(self): self.assertEqual(1, 2)

        async def test_nobody(): pass

        @pytest.mark.asyncio
        async def test_asyncio(): await asyncio.sleep(0)
    """,
    "test_broken": "import no_such_module",
    "test_endings": """
        import pytest

        def test_interrupted(): raise KeyboardInterrupt

        def test_exit(): pytest.exit("over", returncode=7)
    """,
    "test_crash": """
        def test_crash(monkeypatch):
            monkeypatch.setattr("_pytest.runner.call_and_report", None)
    """,
}
"""file → tests in which everything occurs that pytest can report"""


def output(result: pytest.RunResult) -> list[str]:
    """Lines of a run without what differs between any two runs: times, addresses, and the list of plugins."""
    lines = [
        re.sub(r"\b\d+\.\d+s\b|\b0x[0-9a-f]+\b|runpytest-\d", "N", line)
        for line in (*result.outlines, "stderr:", *result.errlines)
    ]
    return [re.sub(r"gaia-[\d.]+(, )?", "", line) if line.startswith("plugins: ") else line for line in lines]


@pytest.mark.parametrize(
    ("arguments", "ending"),
    [
        (("test_all.py", "-ra", "--durations=3", "--durations-min=9", "--junitxml=report.xml"), 1),
        in_full(("test_all.py", "-vv", "-n1", "-l", "-W", "error"), 1),
        in_full(("test_all.py", "-q", "--maxfail=1", "--setup-show", "-p", "no:skipping", "-p", "no:asyncio"), 1),
        in_full(("--co", "-q", "-m", "asyncio"), 2),
        in_full(("test_all.py", "--setup-plan", "--fixtures-per-test", "-k", "passes"), 0),
        in_full(("test_broken.py", "--strict-markers"), 2),
        in_full(("test_endings.py", "-k", "interrupted"), 2),
        in_full(("test_endings.py", "-k", "exit", "-s"), 7),
        in_full(("test_endings.py", "-k", "nothing"), 5),
        in_full(("test_crash.py",), 3),
        (("no_such_file.py",), 4),
        in_full(("--no-such-option",), 4),
        in_full(("test_all.py", "-k", "passes", "-p", "no:terminal"), 0),
        in_full(("--version",), 0),
    ],
)
def test_without_gaia_toml_and_options_nothing_changes(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], ending: int
) -> None:
    for name in [name for name in os.environ if name.startswith("GAIA_")]:
        monkeypatch.delenv(name)
    pytester.makepyfile(**PROJECT)
    fixed = ("-p", "no:anyio", "-p", "no:allure_pytest", "-p", "no:cacheprovider")
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")

    with_plugin, report = pytester.runpytest_subprocess(*fixed, *arguments), junit(pytester)
    without_plugin = pytester.runpytest_subprocess(*fixed, "-p", "no:gaia", *arguments)

    assert output(with_plugin) == output(without_plugin)
    assert report == junit(pytester)
    assert with_plugin.ret == without_plugin.ret == ending


def junit(pytester: pytest.Pytester) -> str | None:
    """Return the report that was written, without times and addresses."""
    path = pytester.path / "report.xml"
    return (
        re.sub(r' time(stamp)?="[^"]*"|\b0x[0-9a-f]+\b|runpytest-\d', "", path.read_text()) if path.exists() else None
    )


def test_loaded_by_name_before_pytest_asyncio_it_causes_no_warning(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile("def test_passes(): pass")

    result = pytester.runpytest_subprocess("-p", "pytest_gaia.plugin", "-p", "pytest_asyncio.plugin", "-W", "error")

    result.assert_outcomes(passed=1)


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


@pytest.mark.parametrize("folder", ["tests/unit", "tests/link"])
def test_a_fixture_outside_of_the_suites_says_which_folders_are_suites(pytester: pytest.Pytester, folder: str) -> None:
    (pytester.mkdir("tests") / "integration").mkdir()
    unit = pytester.path / "tests" / "unit"
    unit.mkdir()
    unit.joinpath("test_unit.py").write_text("def test_needs_it(gaia_env): pass")
    (pytester.path / "tests" / "link").symlink_to(unit)
    pytester.makefile(".toml", gaia='[gaia]\nsuites = ["tests/integration"]\n')
    pytester.makeini("[pytest]\naddopts = -p no:anyio")

    result = pytester.runpytest_subprocess(folder)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*this run does not use Gaia: no test is in a folder that `suites` in ?gaia? of gaia.toml lists (tests/integration).*"
        ]
    )


def test_the_loop_and_the_arguments_are_there_without_an_environment(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.fixture
        def response(gaia_loop):
            async def asked(): return 42
            return gaia_loop.run_until_complete(asked())

        def test_uses_both(response, gaia_argument):
            assert (response, gaia_argument) == (42, ())
    """)

    result = pytester.runpytest_subprocess("-p", "no:anyio")

    result.assert_outcomes(passed=1)


def test_a_project_may_build_on_a_fixture_that_it_does_not_use_yet(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import pytest\n@pytest.fixture(scope='session')\ndef gaia_env(gaia_env): return gaia_env")
    pytester.makepyfile(
        "def test_needs_it(gaia_env): pass\ndef test_asks(request): request.getfixturevalue('gaia_run')"
    )

    result = pytester.runpytest_subprocess("-p", "no:anyio")

    result.stdout.fnmatch_lines(["*this run does not use Gaia*"] * 2)
    result.stdout.no_fnmatch_line("*Traceback*")


def test_the_names_of_all_fixtures_are_offered() -> None:
    names = {name for name, value in vars(static).items() if type(value) is type(static.gaia_run)}

    assert set(Fixtures.NAMES) == names


@pytest.mark.parametrize("option", ["--fixtures", "--markers"])
def test_what_pytest_lists_is_the_same_without_an_environment(pytester: pytest.Pytester, option: str) -> None:
    lines = [
        pytester.runpytest_subprocess("-p", "no:anyio", option, *more).outlines
        for more in ((), ("--gaia-env=sandbox",))
    ]

    listed = [[line for line in each if "gaia" in line and "rootdir" not in line] for each in lines]
    assert len(listed[0]) > 1 or "experimental" in listed[0][0]
    assert listed[0] == [line for line in listed[1] if line in listed[0]]
