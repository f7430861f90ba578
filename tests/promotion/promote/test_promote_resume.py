"""Killed between any two steps, a promotion goes on; two at once never do."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.promotion.ledger.statements import RunPredicate
from pytest_gaia.system.processes import KEY_VARIABLE
from tests.plugin.conftest import project, server
from tests.plugin.deployer import deployer
from tests.promotion.conftest import Keyring
from tests.promotion.promotable import promotable
from tests.slow import in_full

if TYPE_CHECKING:
    import subprocess

    from tests.promotion.promotable import Promotable

__all__ = ["deployer", "project", "promotable", "server"]

LOCKED = 13


def kill_behind(promotable: Promotable, step: str) -> None:
    """Begin a promotion, and kill it as soon as the journal shows ``step``; wait for what it has left running."""
    process = promotable.begin()
    wait_for(promotable, step, process)
    process.send_signal(signal.SIGKILL)
    process.wait(30)


def wait_for(promotable: Promotable, step: str, process: subprocess.Popen[bytes]) -> None:
    pause = threading.Event()
    for _ in range(6000):
        if any(mark.step == step for mark in promotable.marks) or process.poll() is not None:
            return
        pause.wait(0.005)
    pytest.fail(f"the journal never showed {step}")


def resumed(promotable: Promotable) -> subprocess.CompletedProcess[str]:
    """Go on; what the killed one has left running has to end first."""
    for _ in range(60):
        done = promotable.promote("--resume")
        if done.returncode != LOCKED:
            return done
        threading.Event().wait(0.2)
    return done


@pytest.mark.parametrize("step", ["lock", *map(in_full, ("seal", "run", "evidence", "gate"))])
def test_killed_behind_a_step_it_goes_on(promotable: Promotable, step: str) -> None:
    kill_behind(promotable, step)

    done = resumed(promotable)

    if any(mark.step == "end" and mark.run == promotable.marks[0].run for mark in promotable.marks):
        # It had come to its end before it could be killed.
        assert "this machine has no unfinished promotion" in done.stderr
    else:
        assert done.returncode == 0, done.stdout + done.stderr
    assert promotable.kinds[-1] == "Gate"
    runs = [entry.predicate for entry in promotable.entries if isinstance(entry.predicate, RunPredicate)]
    assert len({run.details.started for run in runs}) == len(runs)


UNTIL_IT_IS_OVER = """
import pathlib, threading
def test_one():
    while not pathlib.Path({over!r}).exists(): threading.Event().wait(0.05)
"""


@pytest.mark.slow("processes")
def test_of_two_at_once_one_goes_on(promotable: Promotable) -> None:
    over = promotable.rootdir / ".gaia" / "over"
    suite = promotable.rootdir / "suites" / "health" / "test_health.py"
    suite.write_text(UNTIL_IT_IS_OVER.format(over=str(over)), encoding="utf-8")
    first = promotable.begin()
    wait_for(promotable, "lock", first)

    second = promotable.promote()
    over.touch()

    assert second.returncode == LOCKED
    assert "Nothing was done. Wait until it ends." in second.stderr
    assert first.wait(60) == 0
    assert promotable.kinds == ["Deployment", "Run", "Gate"]


def test_an_interrupted_one_ends_pytest_and_says_how_to_go_on(promotable: Promotable) -> None:
    suite = promotable.rootdir / "suites" / "health" / "test_health.py"
    suite.write_text("import threading\ndef test_one(): threading.Event().wait(60)\n", encoding="utf-8")
    process = promotable.begin()
    wait_for(promotable, "seal", process)

    os.kill(process.pid, signal.SIGTERM)

    assert process.wait(60) == 130
    assert promotable.kinds == []
    assert promotable.marks[-1].step == "seal"


FAILS_AT_FIRST = """
import os, pathlib, signal
tried = pathlib.Path(__file__).parents[2] / ".gaia" / "tried"
def test_one(): assert tried.exists()
def test_two():
    if not tried.exists():
        tried.touch()
        {end}
"""
INTERRUPTED = "os.kill(os.getppid(), signal.SIGINT); signal.pause()"
PYTEST_KILLED = "os.kill(os.getpid(), signal.SIGKILL)"
KILLED = f"os.kill(os.getppid(), signal.SIGKILL); {PYTEST_KILLED}"


def verdicts(promotable: Promotable) -> list[str]:
    runs = (entry.predicate for entry in promotable.entries)
    return [run.details.verdict for run in runs if isinstance(run, RunPredicate)]


@pytest.mark.slow("processes")
@pytest.mark.parametrize(
    ("end", "code", "again"),
    [(INTERRUPTED, 130, ()), (PYTEST_KILLED, 1, ()), (KILLED, -signal.SIGKILL, ("--resume",))],
    ids=["interrupted", "pytest killed", "killed"],
)
def test_a_run_that_was_ended_while_tests_failed_is_one_that_was_rejected(
    promotable: Promotable, end: str, code: int, again: tuple[str, ...]
) -> None:
    suite = promotable.rootdir / "suites" / "health" / "test_health.py"
    suite.write_text(FAILS_AT_FIRST.format(end=end), encoding="utf-8")

    assert promotable.promote().returncode == code
    assert verdicts(promotable) == ([] if again else ["REJECT"])
    done = promotable.promote(*again)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "; 2nd run, 1 rejected before" in done.stdout
    assert verdicts(promotable) == ["REJECT", "PROMOTE"]
    first = next(entry.predicate for entry in promotable.entries if isinstance(entry.predicate, RunPredicate))
    assert first.failed == ("suites/health/test_health.py::test_one",)
    assert (
        "the run was interrupted after 1 failed test: suites/health/test_health.py::test_one" in first.details.problem
    )


@pytest.mark.slow("processes")
def test_of_runs_without_a_key_those_that_failed_are_written_down_too(promotable: Promotable) -> None:
    suite = promotable.rootdir / "suites" / "health" / "test_health.py"
    suite.write_text(FAILS_AT_FIRST.format(end="pass"), encoding="utf-8")

    assert promotable.promote("--only", "run").returncode == 1
    assert promotable.promote("--only", "run").returncode == 0
    assert promotable.kinds == []
    assert promotable.promote("--only", "evidence").returncode == 0

    assert verdicts(promotable) == ["REJECT", "PROMOTE"]


def test_there_may_be_nothing_to_go_on_with(promotable: Promotable) -> None:
    done = promotable.promote("--resume")

    assert done.returncode == 4
    assert "this machine has no unfinished promotion" in done.stderr


READS_THE_PARENT = """
import os
from pathlib import Path
def test_key():
    inherited = Path(f"/proc/{os.getppid()}/environ").read_bytes()
    assert b"GAIA_SIGNING_KEY" not in inherited
"""


@pytest.mark.slow("processes")
def test_tested_without_the_key_it_is_signed_by_a_step_that_runs_no_test(
    promotable: Promotable, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = Keyring.private_pem()
    monkeypatch.setattr(Keyring, "private_pem", staticmethod(lambda: pem))
    Keyring(promotable.rootdir / "keys").make("ci", "ci")
    promotable.configure("\n[env.stage.stage]\nrequire_signed = true\n")
    suite = promotable.rootdir / "suites" / "health" / "test_health.py"
    suite.write_text(READS_THE_PARENT, encoding="utf-8")

    tested = promotable.promote("--only", "run")

    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert promotable.kinds == []
    assert f"gaia promote stage {promotable.release.short} --only evidence" in tested.stdout

    refused = promotable.promote("--only", "evidence")
    assert refused.returncode == 4
    assert "no key is configured" in refused.stderr

    monkeypatch.setenv(KEY_VARIABLE, pem)
    signed = promotable.promote("--only", "evidence")

    assert signed.returncode == 0, signed.stdout + signed.stderr
    assert [[key.name for key in entry.signers] for entry in promotable.entries] == [["ci"]] * 3


@pytest.mark.slow("processes")
def test_neither_part_does_the_work_of_the_other(promotable: Promotable, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "this machine has no unfinished promotion" in promotable.promote("--only", "evidence").stderr

    assert promotable.promote("--only", "run").returncode == 0
    (record,) = promotable.rootdir.glob(".gaia/promotions/*/record.jsonl")
    record.write_bytes(record.read_bytes() + b"\n")
    changed = promotable.promote("--only", "evidence")
    assert changed.returncode == 4
    assert "Nothing was written, and no test ran." in changed.stderr
    assert promotable.kinds == []

    monkeypatch.setenv(KEY_VARIABLE, "any")
    held = promotable.promote("--only", "run")
    assert held.returncode == 4
    assert "GAIA_SIGNING_KEY is set" in held.stderr
