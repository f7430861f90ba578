"""Which checks run: suites as markers, what an environment runs by itself, what does not apply, old commands."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import ScriptedServer, add_suite
from tests.slow import with_workers

TOML = """
[gaia]
platform = "gaia"
suites = ["suites"]
[env.small]
suites = ["health"]
nats = "disabled"
writes = false
"""


@pytest.fixture
def small(project: pytest.Pytester, server: ScriptedServer) -> pytest.Pytester:
    """A project with two suites and an environment that runs one of them."""
    project.makefile(".toml", gaia=TOML)
    add_suite(project, "health", "def test_health(): pass\n")
    add_suite(
        project,
        "personas",
        """
import pytest

def test_read(): pass

@pytest.mark.gaia(writes=True)
def test_write(): raise AssertionError("must not run")

@pytest.mark.gaia(requires=["nats"])
def test_event(): raise AssertionError("must not run")

@pytest.mark.gaia(requires=["asset:direct"])
def test_direct(): raise AssertionError("must not run")

@pytest.mark.gaia(command="personas-list")
def test_list(gaia_argument): assert gaia_argument == ("Mu",)
""",
    )
    return project


def run(project: pytest.Pytester, server: ScriptedServer, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess("--gaia-env=small", f"--gaia-url=gateway={server.url}", *arguments)


@pytest.mark.parametrize("workers", [(), with_workers("-n", "2")], ids=["one", "workers"])
def test_an_environment_runs_its_own_suites(
    small: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    result = run(small, server, *workers)

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "*1 passed, 5 not applicable in*",
            "gaia: not applicable",
            "*5 × small runs the suite 'personas' only if it is selected",
            "gaia verdict: PROMOTE on small: 1 passed, 5 not applicable",
        ]
    )


def test_a_selection_replaces_the_default_and_says_what_does_not_apply(
    small: pytest.Pytester, server: ScriptedServer
) -> None:
    result = run(small, server, "-m", "personas", "-k", "not list")

    assert result.ret == 0
    result.stdout.fnmatch_lines_random(
        [
            "*1 × the test writes, and small forbids writes",
            "*1 × small has no nats service nats: its URL is disabled (gaia.toml:6)",
            "*1 × asset has no URL of its own in small",
            "gaia verdict: PARTIAL on small: *deselected 2 of 6 tests, 1 passed, 3 not applicable",
        ]
    )


def test_a_run_in_which_nothing_applies_is_no_evidence(small: pytest.Pytester, server: ScriptedServer) -> None:
    result = run(small, server, "-k", "write or event")

    assert result.ret == 11
    result.stdout.fnmatch_lines(["gaia verdict: HOLD on small*"])


def test_a_suite_is_a_marker_under_strict_markers(small: pytest.Pytester, server: ScriptedServer) -> None:
    result = run(small, server, "-m", "health")

    result.assert_outcomes(passed=1, deselected=5)


def test_an_old_command_selects_its_checks(small: pytest.Pytester, server: ScriptedServer) -> None:
    result = run(small, server, "--gaia-command=personas-list", "--gaia-argument=Mu")

    result.assert_outcomes(passed=1, deselected=5)


def test_an_unknown_command_is_a_usage_error(small: pytest.Pytester, server: ScriptedServer) -> None:
    result = run(small, server, "--gaia-command=persona-list")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*no selected test belongs to the old command 'persona-list'; did you mean personas-list*"]
    )


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("require=['nats']", "*has no keyword 'require': did you mean requires*"),
        ("requires=['natz']", "*unknown service 'natz'; did you mean nats*"),
        ("writes='yes'", "*gaia(writes=…) takes True or False, got 'yes'*"),
        ("requires=3", "*takes a name or a list of names, got 3*"),
        ("'nats'", "*takes keywords only*"),
    ],
)
def test_a_wrong_marker_is_a_usage_error(
    small: pytest.Pytester, server: ScriptedServer, marker: str, message: str
) -> None:
    add_suite(small, "models", f"import pytest\n@pytest.mark.gaia({marker})\ndef test_wrong(): pass\n")

    result = run(small, server)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *test_models.py::test_wrong: {message}"])


def test_workers_report_a_wrong_marker_once_and_not_as_a_crash(small: pytest.Pytester, server: ScriptedServer) -> None:
    add_suite(small, "models", "import pytest\n@pytest.mark.gaia(require='nats')\ndef test_wrong(): pass\n")

    result = run(small, server, "-n", "2")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stdout.str().count("has no keyword 'require'") == 1
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_settings_in_pyproject_make_a_run_use_gaia(project: pytest.Pytester) -> None:
    (project.path / "gaia.toml").unlink()
    file = project.path / "pyproject.toml"
    file.write_text(f'{file.read_text()}\n[tool.gaia]\nplatform = "gaia"\nsuites = ["suites"]\n')
    add_suite(project, "health", "def test_one(gaia_env): assert gaia_env.name == 'sandbox'\n")

    result = project.runpytest_subprocess()

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["gaia verdict: PROMOTE*"])
