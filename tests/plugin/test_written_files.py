"""The files that a run writes: a write error is reported, and fails the run."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import add_suite
from tests.slow import with_workers

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
@pytest.mark.parametrize("option", ["--gaia-report-log", "--gaia-verdict-file"])
@pytest.mark.parametrize("workers", [(), with_workers("-n", "1")], ids=["one", "workers"])
def test_a_file_on_a_full_disk_is_one_message_and_no_success(
    health: pytest.Pytester, server: ScriptedServer, option: str, workers: tuple[str, ...]
) -> None:
    result = run(health, server, f"{option}={FULL}", *workers)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stdout.str().count(f"ERROR: {option}=/dev/full: cannot be written: No space left on device.") == 1
    assert "gaia verdict: PROMOTE" in result.stdout.str()
    assert "INTERNALERROR" not in result.stdout.str()


def test_a_pipe_is_written_to_and_not_replaced(health: pytest.Pytester, server: ScriptedServer) -> None:
    pipe = health.path / "verdict.json"
    os.mkfifo(pipe)
    # For reading and writing: opening it does not wait for the other side, in neither process.
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        assert run(health, server, f"--gaia-verdict-file={pipe}").ret == 0

        assert pipe.is_fifo()
        assert json.loads(os.read(reader, 1 << 20))["verdict"] == "PROMOTE"
    finally:
        os.close(reader)


@pytest.mark.parametrize("option", ["--gaia-verdict-file", "--gaia-report-log"])
def test_a_link_is_replaced_and_what_it_leads_to_stays(
    health: pytest.Pytester, server: ScriptedServer, option: str
) -> None:
    """Links come with a repository, and could lead anywhere."""
    name, target = health.path / "link.json", health.path / "own.json"
    target.write_text("own")
    name.symlink_to(target)

    assert run(health, server, f"{option}={name}").ret == 0

    assert not name.is_symlink()
    assert (name.stat().st_size > 100, target.read_text()) == (True, "own")


def test_what_holds_answers_is_its_owners_alone(health: pytest.Pytester, server: ScriptedServer) -> None:
    """Except for the JUnit file: its readers often run as another user."""
    files = ("--gaia-verdict-file=v.json", "--gaia-report-log=r.jsonl", "--junitxml=j.xml", "--alluredir=allure")
    before = os.umask(0o022)
    try:
        assert run(health, server, *files).ret == 0
    finally:
        os.umask(before)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in health.path.iterdir()}
    assert (modes["v.json"], modes["r.jsonl"], modes["j.xml"]) == (0o600, 0o600, 0o644)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (health.path / "allure").iterdir()} == {0o600}


def test_a_list_of_subjects_that_cannot_be_written_is_one_message(
    health: pytest.Pytester, server: ScriptedServer
) -> None:
    result = run(health, server, "--collect-only", f"--gaia-subjects={health.path}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --gaia-subjects={health.path}: cannot be written: Is a directory."])
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize("workers", [(), with_workers("-n", "1")], ids=["one", "workers"])
def test_half_of_a_surrogate_pair_in_a_failure_does_not_end_the_run(
    project: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    check = 'async def test_it(gateway):\n    (await gateway.get("/health")).expect(200)\n    assert 0, "\\ud83d"\n'
    add_suite(project, "health", check)

    result = run(
        project, server, "--gaia-verdict-file=v.json", "--gaia-report-log=r.jsonl", "--alluredir=allure", *workers
    )

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert json.loads((project.path / "v.json").read_bytes())["counts"] == {"failed": 1}
    (shown,) = (project.path / "allure").glob("*-result.json")
    assert "\\ud83d" in json.loads(shown.read_bytes())["statusDetails"]["message"]
