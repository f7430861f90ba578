"""What a run writes for GitHub Actions, and only there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import ScriptedServer, add_suite
from tests.slow import with_workers

if TYPE_CHECKING:
    from pathlib import Path

CHECKS = """
import pytest

def test_passes(): pass

@pytest.mark.parametrize("number", range(12))
def test_fails(number):
    assert number < 0, "50% of, all: these\\nfail"
"""


@pytest.fixture
def summary(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A step of a job; the project is a folder of the repository. Returns the file of its summary."""
    add_suite(project, "health", CHECKS)
    path = project.path.parent / f"{project.path.name}-summary.md"
    path.write_text("# said before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.path.parent))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    return path


def run(project: pytest.Pytester, server: ScriptedServer, *arguments: str) -> pytest.RunResult:
    """Run the checks as the job's own run: pytest's variable would say that a test has started it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("PYTEST_CURRENT_TEST")
        return project.runpytest_subprocess(f"--gaia-url=gateway={server.url}", *arguments)


@pytest.mark.parametrize("workers", [(), with_workers("-n", "1")], ids=["one", "workers"])
def test_failures_stand_at_their_lines_and_the_summary_is_added_once(
    project: pytest.Pytester, server: ScriptedServer, summary: Path, workers: tuple[str, ...]
) -> None:
    result = run(project, server, *workers)

    said = [line for line in result.outlines if line.startswith("::")]
    assert len(said) == 10
    assert said[0].startswith(
        f"::error file={project.path.name}/suites/health/test_health.py,line=8,title=gaia failed::"
        "suites/health/test_health.py::test_fails[0]%0Acall: AssertionError: 50%25 of, all: these"
    )
    assert "3 more tests block" in said[-1]
    assert result.outlines[-1].startswith("gaia verdict: REJECT")
    text = summary.read_text()
    assert text.startswith("# said before\n## gaia: REJECT on adhoc\n")
    assert text.count("## gaia: ") == 1
    assert text.count("| failed |") == 12


def test_a_summary_that_cannot_be_written_is_a_warning_and_no_verdict(
    project: pytest.Pytester, server: ScriptedServer, summary: Path
) -> None:
    summary.unlink()
    summary.mkdir()

    result = run(project, server, "-k", "passes")

    assert result.ret == 0
    result.stdout.fnmatch_lines([f"gaia: warning: GITHUB_STEP_SUMMARY={summary}: cannot be written: Is a directory"])
    assert (
        result.outlines[-1]
        == "gaia verdict: PARTIAL on adhoc: partial run: cannot promote a release, -k passes deselected 12 of 13 tests, 1 passed"
    )


def test_a_run_that_a_test_has_started_tells_it_nothing(
    project: pytest.Pytester, server: ScriptedServer, summary: Path
) -> None:
    result = project.runpytest_subprocess(f"--gaia-url=gateway={server.url}")

    assert not [line for line in result.outlines if line.startswith("::")]
    assert summary.read_text() == "# said before\n"


def test_a_run_elsewhere_tells_it_nothing(
    project: pytest.Pytester, server: ScriptedServer, summary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "false")

    result = run(project, server)

    assert not [line for line in result.outlines if line.startswith("::")]
    assert summary.read_text() == "# said before\n"
