"""The files that a run writes: where they cannot be written the run says so, and does not end well."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import add_suite

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

FULL = Path("/dev/full")


@pytest.fixture
def health(project: pytest.Pytester, server: ScriptedServer) -> pytest.Pytester:
    """A project with one check, which passes against ``server``."""
    add_suite(project, "health", 'async def test_it(gateway):\n    (await gateway.get("/health")).expect(200)\n')
    return project


def run(project: pytest.Pytester, server: ScriptedServer, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess(f"--gaia-url={server.url}", *arguments)


@pytest.mark.skipif(not FULL.is_char_device(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one", "workers"])
def test_a_record_on_a_full_disk_is_one_message_and_no_success(
    health: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    result = run(health, server, f"--gaia-record={FULL}", *workers)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stdout.str().count("ERROR: --gaia-record=/dev/full: cannot be written: No space left on device.") == 1
    assert "gaia verdict: PROMOTE" in result.stdout.str()
    assert "INTERNALERROR" not in result.stdout.str()


def test_a_report_that_cannot_be_written_is_one_message_and_no_success(
    health: pytest.Pytester, server: ScriptedServer
) -> None:
    (health.path / "verdict.json.draft").mkdir()

    result = run(health, server, "--gaia-report=verdict.json")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stdout.str().count("verdict.json: cannot be written: Is a directory.") == 1
    assert "gaia verdict: PROMOTE" in result.stdout.str()
    assert "INTERNALERROR" not in result.stdout.str()


def test_a_pipe_is_written_to_and_not_replaced(health: pytest.Pytester, server: ScriptedServer) -> None:
    pipe = health.path / "verdict.json"
    os.mkfifo(pipe)
    # For reading and writing: opening it does not wait for the other side, in neither process.
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        assert run(health, server, f"--gaia-report={pipe}").ret == 0

        assert pipe.is_fifo()
        assert json.loads(os.read(reader, 1 << 20))["verdict"] == "PROMOTE"
    finally:
        os.close(reader)


def test_a_report_behind_a_link_is_written_there(health: pytest.Pytester, server: ScriptedServer) -> None:
    name, target = health.path / "link.json", health.path / "verdict.json"
    name.symlink_to(target)

    assert run(health, server, f"--gaia-report={name}").ret == 0

    assert name.is_symlink()
    assert '"PROMOTE"' in target.read_text()


def test_a_list_of_subjects_that_cannot_be_written_is_one_message(
    health: pytest.Pytester, server: ScriptedServer
) -> None:
    result = run(health, server, "--collect-only", f"--gaia-subjects={health.path}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --gaia-subjects={health.path}: cannot be written: Is a directory."])
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one", "workers"])
def test_half_of_a_surrogate_pair_in_a_failure_does_not_end_the_run(
    project: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    check = 'async def test_it(gateway):\n    (await gateway.get("/health")).expect(200)\n    assert 0, "\\ud83d"\n'
    add_suite(project, "health", check)

    result = run(project, server, "--gaia-report=v.json", "--gaia-record=r.jsonl", "--alluredir=allure", *workers)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert json.loads((project.path / "v.json").read_bytes())["counts"] == {"failed": 1}
    (shown,) = (project.path / "allure").glob("*-result.json")
    assert "\\ud83d" in json.loads(shown.read_bytes())["statusDetails"]["message"]
