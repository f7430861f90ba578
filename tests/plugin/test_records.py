"""The recorded evidence: nothing is missing from it, a killed run leaves what it knew, and no secret is in it."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec
import pytest

from pytest_gaia.verdict.evidence import RecordedRun, TestRecord
from pytest_gaia.verdict.report import VerdictFile
from pytest_gaia.verdict.results_log import read_run
from tests.plugin.conftest import ScriptedServer, add_suite
from tests.slow import with_workers

if TYPE_CHECKING:
    from pathlib import Path

KEY = "sk-live-0123456789abcdef"
FILE = "suites/small/test_small.py"
TOML = '[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.small]\n'

CHECKS = """
import os, pytest

def test_passes(subtests):
    with subtests.test("one of them", number=1):
        pass

def test_fails(): assert False, "broken"
def test_left_out(): pass
def test_dies():
    if "PYTEST_XDIST_WORKER" in os.environ: os._exit(1)
@pytest.mark.xfail(run=False, reason="later")
def test_not_run(): pass
@pytest.mark.gaia(requires=["postgres"], core=True)
def test_does_not_apply(): pass
"""
STOPS = "def test_fails(): assert False\ndef test_too_late(): pass\n"


@pytest.fixture
def small(project: pytest.Pytester) -> pytest.Pytester:
    (project.path / "gaia.toml").write_text(TOML)
    add_suite(project, "small", CHECKS)
    (project.path / "suites" / "small" / "test_broken.py").write_text("import not_there\n")
    (project.path / "suites" / "small" / "test_skipped.py").write_text(
        "import pytest\npytest.importorskip('not_there')\n"
    )
    return project


def arguments(server: ScriptedServer, *more: str) -> tuple[str, ...]:
    given = (
        "-p",
        "no:allure_pytest",
        "--gaia-env=small",
        f"--gaia-url=gateway={server.url}",
        "--gaia-report-log=run.jsonl",
    )
    return (*given, *more)


def recorded(project: pytest.Pytester) -> dict[str, TestRecord]:
    run = read_run(project.path / "run.jsonl")
    assert run.end is not None
    assert len({test.node for test in run.tests}) == len(run.tests)
    return {test.node.removeprefix(f"{FILE}::"): test for test in run.tests}


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "workers"])
def test_whatever_becomes_of_a_test_it_has_a_record(
    small: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    # Workers of the run that this test may itself be part of have set it.
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    small.runpytest_subprocess(
        *arguments(server, "--continue-on-collection-errors", f"--deselect={FILE}::test_left_out", *workers)
    )

    found = recorded(small)
    assert {name: test.state for name, test in found.items()} == {
        "test_passes": "ran",
        "test_fails": "ran",
        "test_left_out": "deselected",
        "test_dies": "crashed" if workers else "ran",
        "test_not_run": "ran",
        "test_does_not_apply": "ran",
        "suites/small/test_broken.py": "not collected",
        "suites/small/test_skipped.py": "not collected",
    }
    assert "No module named 'not_there'" in found["suites/small/test_broken.py"].message
    assert [phase.outcome for phase in found["suites/small/test_skipped.py"].phases] == ["skipped"]
    assert [(phase.when, phase.subtest) for phase in found["test_passes"].phases] == [
        ("setup", ""),
        ("call", "one of them number=1"),
        ("call", ""),
        ("teardown", ""),
    ]
    assert "small" in found["test_passes"].markers
    assert (found["test_does_not_apply"].services, found["test_does_not_apply"].core) == (("postgres",), True)
    assert found["test_fails"].worker.startswith("gw" if workers else "main")


@pytest.mark.parametrize("workers", [(), with_workers("-n1")], ids=["alone", "workers"])
def test_what_was_never_begun_has_a_record(
    small: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    (small.path / FILE).write_text(STOPS)

    small.runpytest_subprocess(*arguments(server, FILE, "-x", *workers))

    assert {name: test.state for name, test in recorded(small).items()} == {
        "test_fails": "ran",
        "test_too_late": "never ran",
    }


WAITS = """
import threading

def test_first(): assert False, "broken"
def test_waits():
    threading.Event().wait(10)
"""


def wait_for(path: Path, text: bytes, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while not (path.exists() and text in path.read_bytes()):
        assert time.monotonic() < deadline, "the record has not been written"
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
            raise AssertionError("the run has ended by itself")


@pytest.mark.parametrize("workers", [(), with_workers("-n1")], ids=["alone", "workers"])
def test_a_killed_run_leaves_what_it_knew(
    small: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    (small.path / FILE).write_text(WAITS)
    command = (sys.executable, "-m", "pytest", *arguments(server, FILE, *workers))
    process = small.popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(small.path / "run.jsonl", b"test_first", process)
    finally:
        process.kill()
        process.wait()

    run = read_run(small.path / "run.jsonl")
    assert run == RecordedRun(run.start, run.tests, None)
    assert [(test.node, test.state) for test in run.tests] == [(f"{FILE}::test_first", "ran")]


SECRETS = """
import os, pytest

KEY = os.environ["THE_SAME"]
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtdSJ9.c2lnbmF0dXJl"

@pytest.fixture
def broken(): raise RuntimeError(f"key {KEY}")

def test_passes(): pass
def test_asserts(gaia_env): assert gaia_env.api_key.reveal() == "another"
def test_sends(): raise ValueError({"Authorization": f"Bearer {TOKEN}", "api_key": KEY})
def test_needs(broken): pass
def test_skips(): pytest.skip(f"not with {KEY}")
def test_marks(): pytest.xfail(f"not with {KEY}")
@pytest.mark.xfail(reason=f"not with {KEY}", strict=True)
def test_passes_anyway(): pass
def test_in_part(subtests):
    with subtests.test("one"):
        assert KEY == "another"
def test_says(): raise SystemExit(f"gaia --key={KEY}")
"""


@pytest.mark.parametrize("workers", [(), with_workers("-n1")], ids=["alone", "workers"])
def test_no_secret_is_kept(
    small: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    monkeypatch.setenv("GAIA_SMALL_API_KEY", KEY)
    monkeypatch.setenv("THE_SAME", KEY)
    (small.path / FILE).write_text(SECRETS)
    (small.path / "suites" / "small" / "test_broken.py").write_text(f"{SECRETS}\nraise RuntimeError(KEY)\n")
    (small.path / "suites" / "small" / "test_skipped.py").write_text(
        f"{SECRETS}\npytest.skip(KEY, allow_module_level=True)\n"
    )

    small.runpytest_subprocess(
        *arguments(server, "--continue-on-collection-errors", "--gaia-verdict-file=verdict.json", *workers)
    )

    found = recorded(small)
    kept = (small.path / "run.jsonl").read_text() + (small.path / "verdict.json").read_text()
    assert len(found) == 11
    assert KEY not in kept
    assert "eyJzdWIiOiJtdSJ9" not in kept
    assert kept.count("***") >= 10


ASKS = """
from dataclasses import replace
from pytest_gaia.clients.services import ClientSet

async def test_as_configured(gateway): (await gateway.get("/health")).expect(200)
async def test_elsewhere(gaia_run, gaia_env):
    other = replace(gaia_env, urls={"gateway": "OTHER"})
    clients = ClientSet(other, gaia_run.guard, gaia_run.recorder)
    (await clients.http("gateway").get("/health")).expect(200)
    await clients.aclose()
"""


@pytest.mark.parametrize("workers", [(), with_workers("-n1")], ids=["alone", "workers"])
def test_record_and_verdict_file_name_what_clients_connect_to(
    small: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    other = ScriptedServer()
    (small.path / FILE).write_text(ASKS.replace("OTHER", other.url))
    (small.path / "gaia.toml").write_text(TOML + 'url = "http://stated.invalid"\n')
    monkeypatch.setenv("GAIA_SMALL_GATEWAY_URL", server.url)
    monkeypatch.setenv("GAIA_SMALL_NATS_URL", "nats://gaia:s3cretive@127.0.0.1:9")
    (small.path / ".env").write_text("GAIA_DATABASE_URL=postgresql://gaia:h1dden-too@/gaia\n")
    monkeypatch.setenv("PGHOST", "127.0.0.2")
    monkeypatch.setenv("PGPORT", "9")

    small.runpytest_subprocess("-p", "no:allure_pytest", "--gaia-env=small", "--gaia-report-log=run.jsonl", "--gaia-verdict-file=verdict.json", FILE, *workers)  # fmt: skip
    other.close()

    kept = (small.path / "run.jsonl").read_text() + (small.path / "verdict.json").read_text()
    assert not [text for text in ("s3cretive", "h1dden-too", "stated.invalid") if text in kept]
    addresses = {seen.service: seen.address for seen in read_run(small.path / "run.jsonl").start.services}
    gateway, elsewhere = (each.url.removeprefix("http://") for each in (server, other))
    assert addresses == {"gateway": gateway, "nats": "127.0.0.1:9", "postgres": "127.0.0.2:9", "auth": "", "asset": "", "chat": ""}  # fmt: skip
    assert [[wire.address for wire in test.exchanges] for test in recorded(small).values()] == [[""], [elsewhere]]
    verdict = msgspec.json.decode((small.path / "verdict.json").read_bytes(), type=VerdictFile)
    assert verdict.addresses == {
        "gateway": (gateway, elsewhere),
        "nats": ("127.0.0.1:9",),
        "postgres": ("127.0.0.2:9",),
    }


def test_the_plugins_that_were_loaded_are_recorded(small: pytest.Pytester, server: ScriptedServer) -> None:
    small.makepyfile(extra="")

    small.syspathinsert()

    small.runpytest_inprocess(*arguments(server, "-p", "extra"))

    plugins = read_run(small.path / "run.jsonl").start.plugins
    assert f"pytest-xdist {version('pytest-xdist')}" in plugins
    assert plugins[-1] == "extra"
    assert not [each for each in plugins if "conftest" in each or "gaia." in each]


def test_a_failure_that_unittest_expects_is_recorded_as_it_is(small: pytest.Pytester, server: ScriptedServer) -> None:
    (small.path / FILE).write_text(
        """
import unittest

class Old(unittest.TestCase):
    @unittest.expectedFailure
    def test_compares(self): self.assertEqual(1, 2)
    @unittest.expectedFailure
    def test_calls(self): raise KeyError("torn")
    @unittest.expectedFailure
    def test_passes(self): pass
"""
    )

    small.runpytest_subprocess(*arguments(server, FILE))

    found = recorded(small)
    calls = {name.rpartition("::")[2]: test.phases[1] for name, test in found.items()}
    failures = {name: call.failure for name, call in calls.items() if call.failure is not None}
    assert {name: (each.kind, each.exception, each.message) for name, each in failures.items()} == {
        "test_compares": ("assertion", "AssertionError", "1 != 2"),
        "test_calls": ("error", "KeyError", "'torn'"),
        "test_passes": ("error", "Failed", "Unexpected success"),
    }
    assert [calls[name].xfail for name in ("test_compares", "test_calls", "test_passes")] == ["", "", None]
