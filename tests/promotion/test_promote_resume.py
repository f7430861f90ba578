"""Killed between any two steps, a promotion goes on; two at once never do."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.promotion.statements import RunPredicate
from tests.plugin.conftest import project, server
from tests.plugin.deployer import deployer
from tests.promotion.promotable import promotable

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


@pytest.mark.parametrize("step", ["lock", "seal", "run", "evidence", "gate"])
def test_killed_behind_a_step_it_goes_on(promotable: Promotable, step: str) -> None:
    kill_behind(promotable, step)

    done = resumed(promotable)

    if any(mark.step == "end" and mark.run == promotable.marks[0].run for mark in promotable.marks):
        # It had come to its end before it could be killed.
        assert "no promotion was left unfinished" in done.stderr
    else:
        assert done.returncode == 0, done.stdout + done.stderr
    assert promotable.kinds[-1] == "Gate"
    runs = [entry.predicate for entry in promotable.entries if isinstance(entry.predicate, RunPredicate)]
    assert len({run.details.started for run in runs}) == len(runs)


def test_of_two_at_once_one_goes_on(promotable: Promotable) -> None:
    first = promotable.begin()
    wait_for(promotable, "lock", first)

    second = promotable.promote()

    assert second.returncode == LOCKED
    assert "nothing was done" in second.stderr
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


def test_there_may_be_nothing_to_go_on_with(promotable: Promotable) -> None:
    done = promotable.promote("--resume")

    assert done.returncode == 4
    assert "no promotion was left unfinished" in done.stderr
