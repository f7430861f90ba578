"""A port that another process takes between choice and use is replaced."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.errors import SandboxError
from pytest_gaia.sandbox._broker import Broker
from pytest_gaia.sandbox._postgres import Cluster, PostgresServer
from pytest_gaia.sandbox._processes import ended, spawn, succeeded
from pytest_gaia.sandbox.binaries import find_nats, find_postgres, server_account
from pytest_gaia.sandbox.directories import create_run
from pytest_gaia.sandbox.leftovers import clear
from tests.sandbox.processes import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def run() -> Iterator[Path]:
    """The folder of a run without a supervisor."""
    directory, lock = create_run()
    directory.chmod(0o711)
    yield directory
    clear(directory)
    os.close(lock)


@contextmanager
def thief(port: int) -> Iterator[None]:
    """Listen on a port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        yield


async def test_the_broker_moves_to_another_port(run: Path) -> None:
    broker = Broker(find_nats(), run)
    taken = broker.port.number
    with thief(taken):
        broker.launch()
        await broker.ready()
    assert broker.port.number != taken
    assert str(broker.port.number) in await broker.url("main")

    await broker.stop()
    with thief(broker.port.number):
        broker.launch()
        with pytest.raises(SandboxError, match="address already in use"):
            await broker.ready()
    broker.port.release()


async def test_the_database_server_moves_to_another_port(run: Path) -> None:
    cluster = Cluster(find_postgres(), server_account(), run, "")
    assert await succeeded(cluster.initialise(), "initdb", 60)
    server = PostgresServer(cluster.binaries, run, cluster.home, cluster.account)
    taken = server.port.number
    with thief(taken):
        await server.start()
    assert server.port.number != taken

    await server.stop()
    with thief(server.port.number), pytest.raises(SandboxError, match="could not bind"):
        await server.start()
    server.port.release()


async def test_a_child_that_does_not_end_in_time_is_an_error(run: Path) -> None:
    with pytest.raises(SandboxError, match="Waiting took longer than 0 s"):
        await succeeded(spawn(run, "sleep", ("sleep", "60")), "Waiting", 0.05)


async def test_a_child_that_does_not_want_to_end_is_killed(run: Path) -> None:
    child = spawn(run, "stubborn", ("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.01; done"))
    assert eventually(lambda: "ready" in child.tail())

    await ended(child, signal.SIGTERM, 0.1)

    assert not child.running
