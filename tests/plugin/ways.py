"""One way to a green run without evidence, and what has to come of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.plugin.expectations import KNOWN
from tests.slow import in_full

PASSES = "def test_passes(): pass\n"
FAILS = "def test_fails(): assert False, 'broken'\n"

ZERO = 'kind = "strict"'

EXPECTATION = f"""{KNOWN}tests = ["suites/small/test_small.py::test_fails"]
match = {{ kind = "assertion", message = "broken" }}
"""

_ENVIRONMENT = '[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.small]\n[env.small.tolerance]\nmax_expectation_age_days = 100000\n'
_STALE = '{"format": "gaia-verdict/1", "verdict": "PROMOTE", "exit_code": 0, "tests": []}\n'


@dataclass(frozen=True)
class Way:
    """What a user does, by accident or on purpose, and how the run must end."""

    name: str
    code: int
    word: str | None
    """the verdict; None where there must be none"""
    source: str = PASSES
    """``suites/small/test_small.py``"""
    args: tuple[str, ...] = ()
    conftest: str = ""
    expectation: str = ""
    tolerance: str = ""
    """lines of ``[env.small.tolerance]``"""
    variables: tuple[tuple[str, str], ...] = ()
    apart: bool = False
    """whether it takes a process of its own, because it ends the process, or starts others"""
    says: str = ""
    """a piece of what the user must see"""

    def __str__(self) -> str:
        return self.name


def attempt(way: Way, project: pytest.Pytester, url: str, *more: str) -> pytest.RunResult:
    """Run pytest that way in ``project``, in which an earlier run has left its PROMOTE."""
    write(way, project)
    without_allure = () if "--alluredir=allure" in way.args else ("-p", "no:allure_pytest")
    arguments = (
        *without_allure,
        "--gaia-env=small",
        f"--gaia-url=gateway={url}",
        "--gaia-verdict-file=verdict.json",
        *more,
        *way.args,
    )
    if way.apart:
        return project.runpytest_subprocess(*arguments)
    return project.runpytest_inprocess(*arguments)


def write(way: Way, project: pytest.Pytester) -> None:
    """Write the files of one way, and the verdict that an earlier run has left."""
    (project.path / "gaia.toml").write_text(_ENVIRONMENT + way.tolerance + "\n")
    (project.path / "verdict.json").write_text(_STALE)
    small = project.path / "suites" / "small"
    small.mkdir()
    (small / "test_small.py").write_text(way.source)
    if way.conftest:
        (project.path / "conftest.py").write_text(way.conftest)
    if way.expectation:
        expectations = project.path / "suites" / "expectations"
        expectations.mkdir(exist_ok=True)
        (expectations / "the-rule.toml").write_text(way.expectation)


def verdict(project: pytest.Pytester) -> dict[str, Any]:
    """Return the verdict file; empty where the run left none that can be read."""
    text = (project.path / "verdict.json").read_text()
    document: dict[str, Any] = json.loads(text) if text else {}
    return document


def way_of(ways: tuple[Way, ...], *, quick: int | None = None) -> pytest.MarkDecorator:
    """Run a test once for each of ``ways``, for those behind the first ``quick`` in the full run only."""
    further = [] if quick is None else [in_full(way) for way in ways[quick:]]
    return pytest.mark.parametrize("way", [*ways[:quick], *further], ids=str)


def check(way: Way, project: pytest.Pytester, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run it, and check how it ends."""
    for name, value in way.variables:
        monkeypatch.setenv(name, value)

    result = attempt(way, project, url)

    document = verdict(project)
    assert (int(result.ret), document.get("verdict")) == (way.code, way.word)
    shown = "\n".join((*result.outlines, *result.errlines))
    assert way.says in shown
    assert f"gaia verdict: {way.word}" in shown if way.word else "gaia verdict:" not in shown
    assert "Traceback" not in shown or way.code != pytest.ExitCode.USAGE_ERROR
