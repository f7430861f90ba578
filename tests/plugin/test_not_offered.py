"""A release that lacks most operations of the baseline: one grouped message, wherever the run is shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from pytest_gaia.cli.app import run as gaia
from tests.cli.documents import document
from tests.plugin.conftest import ScriptedServer, add_suite
from tests.slow import with_workers

if TYPE_CHECKING:
    from pathlib import Path

GONE = [f"/api/v0.2/things/{number:02}/with-a-name" for number in range(48)]
TOML = """
[gaia]
platform = "gaia"
suites = ["suites"]
[env.local.urls]
nats = "disabled"
[env.staging.tolerance]
min_tests = 1
"""
CHECKS = f"""
import pytest

@pytest.mark.parametrize("path", {GONE})
async def test_old(gateway, path):
    (await gateway.get(path)).expect(200)

async def test_accepts_the_missing_route(gateway):
    (await gateway.get({GONE[0]!r})).expect(404)

async def test_never_offered(gateway):
    (await gateway.get("/api/v9/else")).expect(200)

async def test_new(gateway):
    (await gateway.get("/api/v0.3/things")).expect(200)
"""
ACCEPTED = """
reason = "Version 0.2 was announced as deprecated."
issue = "GAIA-1"
owner = "@gateway"
created = 2026-11-01
expires = 2099-01-01
environments = ["local"]
expect = "removed"
operations = ["gateway: * /api/v0.2/*"]
"""


@pytest.fixture
def release(project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project whose gateway offers version 0.3 only, in a terminal of 80 columns; ``base`` has version 0.2."""
    monkeypatch.setenv("COLUMNS", "80")
    project.makefile(".toml", gaia=TOML)
    add_suite(project, "things", CHECKS)
    server.answers["/openapi.json"] = [(200, document("/api/v0.3/things"))]
    server.answers["/api/v0.3/things"] = [(200, {})]
    (project.path / "base").mkdir()
    (project.path / "base" / "gateway.json").write_text(json.dumps(document(*GONE, "/api/v0.2/unused")))
    return project


def run(project: pytest.Pytester, server: ScriptedServer, *arguments: str, base: bool = True) -> pytest.RunResult:
    given = ["--gaia-baseline=base"] if base else []
    return project.runpytest_subprocess(
        "--gaia-env=local", f"--gaia-url=gateway={server.url}", "--gaia-report-log=run.jsonl", *given, *arguments
    )


def summary(lines: list[str]) -> list[str]:
    """Return the lines from the title of the message on."""
    return lines[next(at for at, line in enumerate(lines) if line.startswith("gaia: not offered")) :]


@pytest.mark.parametrize("workers", [(), with_workers("-n", "2")], ids=["one", "workers"])
def test_each_gone_operation_is_named_once_in_a_short_message(
    release: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    result = run(release, server, *workers)

    assert result.ret == 1
    assert len(result.outlines) <= 60
    assert max(map(len, summary(result.outlines))) <= 80
    text = result.stdout.str()
    assert [text.count(f"GET {path}") for path in GONE] == [1] * 48
    assert summary(result.outlines)[:2] == [
        "gaia: not offered by this release: 50 tests need 49 operations",
        "  48 operations gone since the documents in base, blocking:",
    ]
    result.stdout.fnmatch_lines(
        [
            "  To accept that, complete the draft of `gaia expectations suggest RESULTS`.",
            "  not in the baseline either: gateway: GET /api/v9/else",
            "  1 more operation gone that no test of this run needs (-v lists it)",
            "gaia verdict: REJECT on local: 48 operations gone, 1 passed, 50 not applicable",
        ]
    )


def test_quiet_names_them_on_one_line_and_verbose_lists_the_tests(
    release: pytest.Pytester, server: ScriptedServer
) -> None:
    *_, gone, verdict = quiet = run(release, server, "-q").outlines
    assert gone.startswith(
        f"gaia: 48 operations gone since the documents in base, blocking: gateway: GET {GONE[0]}, GET"
    )
    assert verdict == "gaia verdict: REJECT on local: 48 operations gone, 1 passed, 50 not applicable"
    assert [sum(f"GET {path}" in line for line in quiet) for path in GONE] == [1] * 48

    verbose = summary(run(release, server, "-v").outlines)
    at = verbose.index(f"      GET {GONE[0]}")
    assert verbose[at : at + 4] == [
        f"      GET {GONE[0]}",
        f"        suites/things/test_things.py::test_old[{GONE[0]}]",
        "        suites/things/test_things.py::test_accepts_the_missing_route",
        f"      GET {GONE[1]}",
    ]
    assert "    gateway: GET /api/v0.2/unused" in verbose


def test_a_replay_prints_and_decides_the_same(
    release: pytest.Pytester, server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    said = summary(run(release, server).outlines)
    capsys.readouterr()
    assert gaia(["replay", "run.jsonl"]) == 1
    assert summary(capsys.readouterr().out.splitlines()) == said

    assert gaia(["replay", "run.jsonl", "-v"]) == 1
    assert "        suites/things/test_things.py::test_never_offered" in capsys.readouterr().out.splitlines()

    assert gaia(["replay", "run.jsonl", "--json"]) == 1
    assert {(each["operation"], each["tests"]) for each in json.loads(capsys.readouterr().out)["gone"]} == {
        (f"gateway: GET {path}", 2 if path == GONE[0] else 1) for path in GONE
    }


def test_a_replay_for_staging_holds_without_a_baseline(
    release: pytest.Pytester, server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(release, server, base=False).ret == 0
    capsys.readouterr()

    assert gaia(["replay", "run.jsonl", "-e", "staging"]) == 11
    out = capsys.readouterr().out
    assert "  no baseline shows whether an earlier release offered them:\n" in out
    assert "gaia verdict: HOLD on staging (results from local): 50 tests did not apply, because" in out


def test_an_expectation_accepts_it_and_its_terms_are_shown(release: pytest.Pytester, server: ScriptedServer) -> None:
    (release.path / "suites" / "expectations").mkdir()
    (release.path / "suites" / "expectations" / "old-version.toml").write_text(ACCEPTED)

    result = run(release, server, "--gaia-verdict-file=verdict.json", "--junitxml=junit.xml")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["  48 operations gone since the documents in base, accepted by old-version*"])
    assert {each["expectation"] for each in json.loads((release.path / "verdict.json").read_text())["gone"]} == {
        "old-version"
    }
    assert "no operation is gone" not in (release.path / "junit.xml").read_text()


def test_tools_that_read_only_a_file_see_the_reason(
    release: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    with monkeypatch.context() as patched:
        patched.delenv("PYTEST_CURRENT_TEST")
        result = run(release, server, "--junitxml=junit.xml", "--alluredir=allure")

    [annotation] = [line for line in result.outlines if line.startswith("::")]
    assert annotation.startswith(
        "::error title=gaia API::48 operations gone since the documents in base, blocking%0Agateway: GET "
    )
    assert "| 2 | gateway: GET /api/v0.2/things/00/with-a-name |" in summary.read_text()

    suite = ET.parse(release.path / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("52", "1", "50")
    case = suite.findall("testcase")[-1]
    failure = case[0]
    assert (case.get("classname"), case.get("name")) == ("gaia", "no operation is gone")
    assert failure.get("message") == "48 operations gone since the documents in base, blocking"
    assert (failure.text or "").count("gateway: GET ") == 48
    properties = {each.get("name", ""): each.get("value", "") for each in suite.iter("property")}
    assert properties["gaia.baseline"] == "the documents in base"
    assert properties["gaia.api.gateway"].startswith("sha256:")
    assert properties["gaia.gone"].count(";") == 47

    folder = release.path / "allure"
    circumstances = (folder / "environment.properties").read_text()
    assert "api.gateway=sha256:" in circumstances
    assert f"gone=gateway: GET {GONE[0]}" in circumstances
    errors = [each["message"] for each in json.loads(next(folder.glob("*-globals.json")).read_text())["errors"]]
    assert errors[1].startswith("48 operations gone since the documents in base, blocking:\n")
