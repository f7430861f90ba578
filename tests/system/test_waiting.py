"""A signal that the system delivers to another thread is heard while the main thread waits, wherever it waits."""

from __future__ import annotations

import gc
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_gaia.deploy.contract import Observation, Reply, Request
from pytest_gaia.deploy.fly.operations import FlyTool
from pytest_gaia.deploy.process import ending
from pytest_gaia.observation import overview as observing
from pytest_gaia.observation import watching as capabilities
from pytest_gaia.observation.deployed import observe_services
from pytest_gaia.observation.readiness import READY, ServiceState
from pytest_gaia.rollout.model import Rollout, Step
from pytest_gaia.rollout.step import Pace
from pytest_gaia.system.processes import KEY_VARIABLE, completed, exit_code_of, output_of
from pytest_gaia.system.signals import ROUND, join, rounds, take, wait_for
from tests.projects import gaia_environment

LONG = 20.0
"""seconds that the main thread would wait"""
SOON = 10.0


class Heard(Exception):
    """What the handler raises."""


@contextmanager
def signalled_elsewhere() -> Iterator[None]:
    """Have a thread deliver SIGTERM to itself while the block waits; the block has to end by it, and soon."""

    def handler(*_: object) -> None:
        raise Heard

    def deliver() -> None:
        time.sleep(0.2)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, handler)
    thread = threading.Thread(target=deliver)
    # Python ignores an exception that is raised within a callback of the collector, such as that of hypothesis.
    gc.disable()
    began = time.monotonic()
    try:
        thread.start()
        with pytest.raises(Heard):
            yield
    finally:
        thread.join()
        signal.signal(signal.SIGTERM, before)
        gc.enable()
    assert time.monotonic() - began < SOON


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set after the test: what threads of it wait for."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[str]]:
    """A process that runs on."""
    command = [sys.executable, "-c", f"import time; time.sleep({LONG})"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.parametrize(
    "wait",
    [
        lambda: take(queue.SimpleQueue(), LONG),
        lambda: wait_for(threading.Event(), LONG),
        lambda: wait_for(ending, LONG),
        lambda: Pace().wait(LONG),
        lambda: FlyTool()._wait(LONG),
    ],
    ids=["queue", "event", "ending", "pace", "fly"],
)
def test_a_wait_of_some_seconds(wait: Callable[[], object]) -> None:
    with signalled_elsewhere():
        wait()


def test_a_thread(over: threading.Event) -> None:
    thread = threading.Thread(target=over.wait, args=(LONG,))
    thread.start()

    with signalled_elsewhere():
        join(thread)


@pytest.mark.parametrize("wait", [exit_code_of, output_of])
def test_a_process(wait: Callable[[subprocess.Popen[str]], object], sleeper: subprocess.Popen[str]) -> None:
    with signalled_elsewhere():
        wait(sleeper)


def test_environments_that_are_observed(tmp_path: Path, over: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "observe", lambda *_, **__: over.wait(LONG))

    with signalled_elsewhere():
        observing.observe_all({"staging": gaia_environment("staging")}, tmp_path, deadline=LONG)


def test_services_that_a_tool_looks_at(tmp_path: Path, over: threading.Event) -> None:
    class Hook:
        name = "fly"

        def run(self, request: Request, log: Callable[[str], None]) -> Reply:
            over.wait(LONG)
            return Reply(status="done", observation=Observation(app=request.app, exists=False))

    rollout = Rollout("dev", tmp_path, (Step("auth", "auth-dev"), Step("chat", "chat-dev")), deadline=LONG)
    with signalled_elsewhere():
        observe_services(rollout, Hook())


def test_capabilities_that_are_asked_for(over: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "_responds", lambda *_: over.wait(LONG))

    with signalled_elsewhere():
        capabilities.look(gaia_environment("staging"), (ServiceState("gateway", READY),))


def test_what_comes_is_handed_over() -> None:
    given: queue.SimpleQueue[int] = queue.SimpleQueue()
    given.put(1)

    assert take(given, 0) == 1
    with pytest.raises(queue.Empty):
        take(given, 0)


def test_output_of_many_rounds_is_kept() -> None:
    program = f"import time; print('a', flush=True); time.sleep({1.5 * ROUND}); print('b')"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert output_of(process) == "a\nb\n"

    assert process.returncode == 0


def test_what_a_program_reads_and_writes_over_many_rounds() -> None:
    program = (
        f"import sys, time; time.sleep({1.5 * ROUND}); text = sys.stdin.read(); print(len(text), text[-1]); sys.exit(3)"
    )

    done = completed([sys.executable, "-c", program], given=b"x" * 1_000_000 + b"y")

    assert (done.returncode, done.stdout, done.stderr) == (3, b"1000001 y\n", b"")


def test_a_program_is_killed_at_its_time_and_when_a_signal_comes() -> None:
    command = [sys.executable, "-c", f"import time; time.sleep({LONG})"]
    began = time.monotonic()

    with pytest.raises(subprocess.TimeoutExpired):
        completed(command, seconds=0.2)
    with signalled_elsewhere():
        completed(command)

    assert time.monotonic() - began < SOON


def test_a_program_does_not_get_the_signing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a key")

    assert KEY_VARIABLE.encode() not in completed(["env"]).stdout


def test_a_time_that_has_passed_is_one_look() -> None:
    assert list(rounds(-1)) == [0.0]
    assert list(rounds(0)) == [0.0]
    assert next(rounds()) == ROUND
