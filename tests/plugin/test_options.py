"""Options of pytest: their settings, their old names, and the files that follow them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import SETTINGS, add_suite
from tests.slow import with_workers

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer


@pytest.fixture
def health(project: pytest.Pytester) -> pytest.Pytester:
    """A project with one test of the gateway."""
    add_suite(project, "health", 'async def test_it(gateway):\n    (await gateway.get("/health")).expect(200)\n')
    return project


def configure(project: pytest.Pytester, **settings: object) -> None:
    lines = (f"{key} = {json.dumps(value)}" for key, value in settings.items())
    project.makepyprojecttoml("\n".join([SETTINGS, *lines]))


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("--gaia-record", "--gaia-report-log", "out.json"),
        ("--gaia-report", "--gaia-verdict-file", "out.json"),
        ("--gaia-bundle", "--gaia-release", "a" * 64),
        ("--gaia-seal", "--gaia-plan-out", "out.json"),
        ("--gaia-sandbox-fixed", "--gaia-sandbox-no-known-bugs", ""),
        ("--gaia-rehearse", "--gaia-simulate", ""),
    ],
)
def test_an_old_name_works_and_prints_one_notice(
    health: pytest.Pytester, server: ScriptedServer, old: str, new: str, value: str
) -> None:
    arguments = [old, value] if value else ["--help", old]

    result = health.runpytest_subprocess(f"--gaia-url={server.url}", *arguments)

    assert result.ret == 0
    notice = f"gaia: note: {old} is now {new}; "
    assert [notice in line for line in result.errlines if "note" in line] == [True]
    assert (health.path / "out.json").exists() == (value == "out.json")
    shown = health.runpytest_subprocess("--help").outlines
    assert not any(line.startswith((f"  {old}=", f"  {old} ")) or line == f"  {old}" for line in shown)


def test_every_option_but_those_of_deployments_and_attestations_has_a_setting(health: pytest.Pytester) -> None:
    shown = health.runpytest_subprocess("--help").stdout.str()
    options = {line.split()[0].partition("=")[0] for line in shown.splitlines() if line.startswith("  --gaia-")}
    settings = {line.split()[0] for line in shown.splitlines() if line.startswith("  gaia_")}

    without = {option for option in options if option.lstrip("-").replace("-", "_") not in settings}
    assert "--gaia-env" in options - without
    assert all(option.startswith(("--gaia-deploy", "--gaia-attest")) for option in without)


@pytest.mark.parametrize("workers", [(), with_workers("-n", "1")], ids=["one", "workers"])
def test_settings_stand_in_pytests_configuration_file(
    health: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    configure(health, gaia_url=[server.url], gaia_report_log="log.jsonl", gaia_verdict_file="verdict.json")
    (health.path / "verdict.json").write_text("of an earlier run")

    result = health.runpytest_subprocess(*workers)

    assert result.ret == 0
    result.stdout.fnmatch_lines(["gaia: environment adhoc (pyproject.toml gaia_url)*"])
    assert json.loads((health.path / "verdict.json").read_bytes())["verdict"] == "PROMOTE"
    assert (health.path / "log.jsonl").read_text().count("\n") == 3


@pytest.mark.parametrize("value", ["0", "101", "many"])
def test_another_concurrency_is_one_line_and_exit_code_4(health: pytest.Pytester, value: str) -> None:
    result = health.runpytest_subprocess(f"--gaia-concurrency={value}")

    assert result.ret == 4
    assert result.errlines == [f"ERROR: --gaia-concurrency: expected a number from 1 to 100, got '{value}'.", ""]


def test_a_seed_that_is_no_number_is_a_usage_error(health: pytest.Pytester) -> None:
    result = health.runpytest_subprocess("--gaia-shuffle", "suites")

    assert result.ret == 4
    assert result.errlines[0].startswith("ERROR: --gaia-shuffle: expected a whole number, got 'suites'. ")


def test_the_command_line_precedes_variables_and_these_precede_settings(
    health: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(health, gaia_env="dev", gaia_url=["gateway=http://setting.invalid", "auth=http://auth.invalid"])

    def header(*arguments: str) -> str:
        return next(line for line in shown(*arguments) if line.startswith("gaia: environment"))

    def shown(*arguments: str) -> list[str]:
        return health.runpytest_subprocess("--collect-only", *arguments).outlines

    assert header().startswith("gaia: environment dev (pyproject.toml gaia_env)")
    monkeypatch.setenv("GAIA_ENV", "staging")
    monkeypatch.setenv("GAIA_GATEWAY_URL", server.url)
    assert header().startswith("gaia: environment staging (GAIA_ENV)")
    assert header("--gaia-env=adhoc").startswith("gaia: environment adhoc (--gaia-env)")
    monkeypatch.delenv("GAIA_ENV")
    monkeypatch.delenv("GAIA_GATEWAY_URL")
    assert header("-o", "gaia_env=local").startswith("gaia: environment local (pyproject.toml gaia_env)")


def test_a_setting_alone_does_not_make_other_tests_use_gaia(health: pytest.Pytester) -> None:
    configure(health, gaia_env="staging", gaia_report_log="log.jsonl")
    (health.path / "gaia.toml").write_text('[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n')
    health.makepyfile(test_unit="def test_one(): pass")

    result = health.runpytest_subprocess("test_unit.py")

    result.assert_outcomes(passed=1)
    assert "gaia: " not in result.stdout.str()
    assert not (health.path / "log.jsonl").exists()


@pytest.mark.parametrize("workers", [(), with_workers("-n", "1")], ids=["one", "workers"])
@pytest.mark.parametrize("option", ["--gaia-report-log", "--gaia-verdict-file", "--gaia-record"])
def test_a_file_may_follow_after_a_space(
    health: pytest.Pytester, server: ScriptedServer, tmp_path: Path, option: str, workers: tuple[str, ...]
) -> None:
    """pytest takes an existing file for a test until it knows the option, and looks for the project around it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (elsewhere / "file.json").touch()
    configure(health, testpaths=["suites"], pythonpath=["helpers"], gaia_url=[server.url])
    (health.path / "helpers").mkdir()
    (health.path / "helpers" / "helping.py").touch()
    add_suite(health, "helped", "import helping\n\ndef test_it(): pass\n")

    result = health.runpytest_subprocess(option, str(elsewhere / "file.json"), *workers)

    assert result.ret == 0, result.stdout.str() + result.stderr.str()
    result.stdout.fnmatch_lines([f"rootdir: {health.path}", "configfile: pyproject.toml"])
    assert (elsewhere / "file.json").stat().st_size > 100
