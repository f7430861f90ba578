"""A sandbox ends with its run and leaves nothing."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from pytest_gaia.errors import SandboxError
from pytest_gaia.run.sandbox import Sandbox
from tests.projects import gaia_platform
from tests.sandbox.processes import children, descendants, eventually, holder, mentioning, shared_memory_of

ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]


def test_normal_end_leaves_no_process_no_memory_and_no_file() -> None:
    sandbox = Sandbox.start(gaia_platform())
    sandbox.ready()
    supervisor = set(mentioning(sandbox.directory))
    everything = supervisor | {each for pid in supervisor for each in descendants(pid)}
    assert {"postgres", "nats"} <= set(children(sandbox.directory))

    sandbox.stop()

    assert not sandbox.directory.exists()
    assert not mentioning(sandbox.directory)
    assert not shared_memory_of(everything)


def test_stopping_twice_is_no_error() -> None:
    sandbox = Sandbox.start(gaia_platform())
    sandbox.stop()

    sandbox.stop()

    assert not sandbox.directory.exists()


def test_a_stopped_sandbox_reports_that_it_is_gone() -> None:
    sandbox = Sandbox.start(gaia_platform())
    sandbox.ready()
    sandbox.stop()

    with pytest.raises(SandboxError, match="does not respond"):
        sandbox.stack("gw0")


@pytest.mark.parametrize("how", ENDS, ids=lambda how: how.name)
def test_the_end_of_the_run_ends_the_sandbox(how: signal.Signals) -> None:
    with holder("ready") as (run, (name,)):
        directory = Path(name)
        everything = {each for pid in mentioning(directory) for each in (pid, *descendants(pid))}

        run.send_signal(how)

        assert eventually(lambda: not directory.exists() and not mentioning(directory))
        assert not shared_memory_of(everything)


@pytest.mark.parametrize("how", ENDS, ids=lambda how: how.name)
def test_a_run_that_ends_while_the_sandbox_starts(how: signal.Signals) -> None:
    with holder() as (run, (name,)):
        directory = Path(name)

        run.send_signal(how)

        assert eventually(lambda: not directory.exists() and not mentioning(directory))


def test_a_forked_child_of_the_run_does_not_keep_the_sandbox_alive() -> None:
    with holder("ready", "fork") as (run, (child, name)):
        directory = Path(name)
        try:
            run.kill()

            assert eventually(lambda: not directory.exists() and not mentioning(directory))
        finally:
            os.kill(int(child), signal.SIGKILL)


@pytest.mark.slow("sandbox")
def test_stopping_while_it_starts_leaves_nothing() -> None:
    for _ in range(3):
        sandbox = Sandbox.start(gaia_platform())

        sandbox.stop()

        assert not sandbox.directory.exists()
        assert not mentioning(sandbox.directory)


def test_a_signal_to_the_supervisor_ends_everything() -> None:
    sandbox = Sandbox.start(gaia_platform())
    try:
        sandbox.ready()
        servers = children(sandbox.directory)
        (supervisor,) = set(mentioning(sandbox.directory)) - set(servers.values()) - _workers(servers)

        os.kill(supervisor, signal.SIGTERM)

        assert eventually(lambda: not sandbox.directory.exists() and not mentioning(sandbox.directory))
    finally:
        sandbox.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next run ends the servers")
def test_servers_follow_a_supervisor_that_is_killed() -> None:
    sandbox = Sandbox.start(gaia_platform())
    try:
        sandbox.ready()
        servers = children(sandbox.directory)
        (supervisor,) = set(mentioning(sandbox.directory)) - set(servers.values()) - _workers(servers)

        os.kill(supervisor, signal.SIGKILL)

        assert eventually(lambda: not children(sandbox.directory) and not mentioning(sandbox.directory))
    finally:
        sandbox.stop()
    assert not sandbox.directory.exists()


def test_a_supervisor_that_is_killed_while_it_starts_is_an_error_that_reports_it() -> None:
    sandbox = Sandbox.start(gaia_platform())
    try:
        assert eventually(lambda: mentioning(sandbox.directory))
        for pid in mentioning(sandbox.directory):
            os.kill(pid, signal.SIGKILL)

        with pytest.raises(SandboxError, match="ended before the sandbox was ready"):
            sandbox.ready()
    finally:
        sandbox.stop()
    assert not sandbox.directory.exists()
    # The kernel kills what the supervisor had begun to start.
    assert eventually(lambda: not mentioning(sandbox.directory))


@pytest.mark.slow("sandbox")
def test_two_runs_at_once_do_not_meet() -> None:
    first, second = Sandbox.start(gaia_platform()), Sandbox.start(gaia_platform())
    try:
        first.ready()
        second.ready()
        one, other = first.stack("main"), second.stack("main")

        assert first.directory != second.directory
        assert not set(one.urls.values()) & set(other.urls.values())
        assert one.api_key != other.api_key
        assert one.jwt_secret != other.jwt_secret
        assert one.dsn != other.dsn
        assert one.nats != other.nats
        second.stop()
        first.stack("gw0")
    finally:
        first.stop()
        second.stop()


def _workers(servers: dict[str, int]) -> set[int]:
    """PostgreSQL's own processes."""
    return {each for pid in servers.values() for each in descendants(pid)}
