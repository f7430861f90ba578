"""A run shows responses of services in many places, always as plain text."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from pytest_gaia.printable import visible
from tests.hostile import HOSTILE, planted
from tests.plugin.conftest import ScriptedServer, add_suite
from tests.slow import in_full, with_workers

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKS = f"""
import logging, warnings
import pytest

HOSTILE = {HOSTILE!r}

async def test_status(gateway):
    (await gateway.get("/api/raw")).expect(200)

async def test_json(gateway):
    (await gateway.get("/api/json")).expect(200)

async def test_passes(gateway):
    await gateway.get("/api/raw")

def test_assertion(request):
    request.node.user_properties.append(("seen", HOSTILE))
    print(HOSTILE)
    logging.getLogger("service").error(HOSTILE)
    assert HOSTILE + "1\\n2" == HOSTILE + "1\\n3"

def test_raises():
    raise RuntimeError(HOSTILE)

def test_skips():
    pytest.skip(HOSTILE)

@pytest.mark.xfail(reason=HOSTILE)
def test_xfail():
    assert False

@pytest.mark.parametrize("value", [HOSTILE], ids=[HOSTILE])
def test_id(value):
    assert value == 1

def test_subtests(subtests):
    with subtests.test(HOSTILE, version=HOSTILE):
        assert HOSTILE == ""
"""


@pytest.fixture
def hostile(project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project in a job of GitHub Actions, and a service that responds with it."""
    add_suite(project, "health", CHECKS)
    server.answers["/health"] = [(200, {"status": HOSTILE, "version": HOSTILE})]
    server.answers["/api/raw"] = [(500, HOSTILE.encode())]
    server.answers["/api/json"] = [(500, {"detail": HOSTILE, HOSTILE: 1})]
    server.headers["X-Version"] = "##[error]planted \x1b[31m \x9b1m"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "summary.md"))
    return project


def run(project: pytest.Pytester, server: ScriptedServer, *arguments: str) -> str:
    """Run the checks as the job's own run; return its output as it came."""
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("PYTEST_CURRENT_TEST")
        patched.setenv("PYTHONUTF8", "1")
        result = project.runpytest_subprocess(f"--gaia-url=gateway={server.url}", *arguments)
    assert result.ret == 1
    return (project.path / "stdout").read_bytes().decode() + (project.path / "stderr").read_bytes().decode()


@pytest.mark.parametrize(
    "options",
    [
        ("-v", "-rA", "-W", "default"),
        in_full(("-vv", "-s", "-l")),
        with_workers("--tb=line", "-n", "1"),
        ("--color=yes", "-o", "log_cli=true"),
    ],
    ids=" ".join,
)
def test_no_line_of_the_log_is_a_command_of_a_service(
    hostile: pytest.Pytester, server: ScriptedServer, options: tuple[str, ...]
) -> None:
    out = run(hostile, server, *options)

    # Colors come from pytest, or from a test.
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out) if {"--color=yes", "-s"} & set(options) else out
    assert planted(plain) == []
    assert "::error file=suites/health/test_health.py,line=" in out
    assert "version: 1.0 ::error file=planted" in out


def test_no_file_of_a_run_holds_more_than_text(hostile: pytest.Pytester, server: ScriptedServer) -> None:
    run(
        hostile,
        server,
        "--junitxml=junit.xml",
        "--alluredir=allure",
        "--gaia-report-log=run.jsonl",
        "--log-file=log.txt",
    )

    folder = hostile.path
    summary = (folder / "summary.md").read_text()
    assert planted(summary.replace("\u2060", "")) == []
    assert re.findall(r"@planted|www\.|https:|:planted:|(?<!\\)<b>|#1", summary) == []
    written = [json.loads(path.read_bytes()) for path in (folder / "allure").glob("*-result.json")]
    written += map(json.loads, (folder / "run.jsonl").read_text().splitlines())
    # Written by the run.
    written += [[each.text or "", each.attrib] for each in ET.parse(folder / "junit.xml").iter()]
    written.append((folder / "log.txt").read_text())
    assert [text for text in _texts(written) if visible(text) != text] == []


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from (key, *_texts(each))
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
