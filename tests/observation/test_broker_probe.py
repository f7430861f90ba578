"""A NATS server is ready if it accepts the login and responds to PING; a full server sends a greeting too."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.observation.probes import PermanentProbeError, ProbeResult, TemporaryProbeError, probe_nats
from tests.clients.nats_server import NatsServer
from tests.clients.peers import self_signed
from tests.observation.scripted import listener

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pytest_gaia.run.sandbox import Sandbox

GREETING = b'INFO {"server_id":"X","version":"2.15.1","max_payload":1048576}\r\n'


@asynccontextmanager
async def nats(folder: Path, more: str = "") -> AsyncIterator[NatsServer]:
    server = NatsServer(folder, more)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def probe(url: str) -> ProbeResult:
    return await asyncio.to_thread(probe_nats, url, 5.0)


def test_the_sandbox_lets_its_user_in(sandbox: Sandbox) -> None:
    assert probe_nats(sandbox.stack("broker").nats, 5.0) == ProbeResult()


def test_a_server_that_refuses_the_password_is_there_and_degraded(sandbox: Sandbox) -> None:
    url = sandbox.stack("broker").nats
    user = url.partition("://")[2].partition(":")[0]

    result = probe_nats(f"nats://{user}:wrong@{url.rpartition('@')[2]}", 5.0)

    assert result == ProbeResult("degraded", "refused: Authorization Violation")


@pytest.mark.parametrize(
    ("more", "credentials"),
    [("", ""), ('authorization { user: "g a", password: "p@:/" }', "g%20a:p%40%3A%2F@"), ('authorization { token: "t" }', "t@")],
    ids=["nobody", "password", "token"],
)  # fmt: skip
async def test_it_logs_in_by_the_url(tmp_path: Path, more: str, credentials: str) -> None:
    async with nats(tmp_path, more) as server:
        assert await probe(f"nats://{credentials}127.0.0.1:{server.port}") == ProbeResult()


async def test_a_frozen_server_is_no_server(tmp_path: Path) -> None:
    async with nats(tmp_path) as server:
        await server.pause()

        with pytest.raises(TemporaryProbeError, match="no response in time"):
            await asyncio.to_thread(probe_nats, server.url, 0.3)


async def test_a_server_that_asks_for_tls_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = self_signed(tmp_path)
    async with nats(tmp_path, f'tls {{ cert_file: "{certificate}", key_file: "{key}" }}') as server:
        with pytest.raises(PermanentProbeError, match="the certificate is not trusted"):
            await probe(server.url)

        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert await probe(server.url) == ProbeResult()


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_what_greets_otherwise_is_no_nats_server(greeting: bytes) -> None:
    with (
        listener(lambda peer: peer.sendall(greeting)) as port,
        pytest.raises(PermanentProbeError, match="is not a NATS server"),
    ):
        probe_nats(f"nats://127.0.0.1:{port}", 5.0)


@pytest.mark.parametrize("greeting", [GREETING, b"INFO {broken\r\n", b"INFO []\r\n", b"INFO " + b"[" * 5000 + b"\r\n"])
def test_a_greeting_without_a_response_to_ping_is_not_enough(greeting: bytes) -> None:
    def greet(peer: socket.socket) -> None:
        peer.sendall(greeting)
        while b"PING\r\n" not in peer.recv(4096):
            pass

    with listener(greet) as port, pytest.raises(TemporaryProbeError, match="closed before the response to PING"):
        probe_nats(f"nats://127.0.0.1:{port}", 5.0)


def test_a_greeting_may_come_in_pieces_and_with_pings_of_its_own() -> None:
    def greet(peer: socket.socket) -> None:
        for piece in (GREETING[:7], GREETING[7:], b"PING\r\nPO", b"NG\r\n"):
            peer.sendall(piece)
        peer.recv(4096)

    with listener(greet) as port:
        assert probe_nats(f"nats://127.0.0.1:{port}", 5.0) == ProbeResult()


def test_a_server_that_is_full_reports_it_in_its_first_breath() -> None:
    def greet(peer: socket.socket) -> None:
        peer.sendall(GREETING + b"-ERR 'maximum connections exceeded'\r\n")
        peer.recv(4096)

    with listener(greet) as port:
        result = probe_nats(f"nats://127.0.0.1:{port}", 5.0)

    assert result == ProbeResult("degraded", "refused: maximum connections exceeded")


def test_an_endless_greeting_ends() -> None:
    def greet(peer: socket.socket) -> None:
        try:
            while True:
                peer.sendall(b"x" * 65536)
        except OSError:
            return

    with listener(greet) as port, pytest.raises(PermanentProbeError, match="is not a NATS server"):
        probe_nats(f"nats://127.0.0.1:{port}", 5.0)


def test_a_broker_behind_websocket_is_only_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    # The probe needs no aiohttp; a missing package for the client is reported earlier.
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    with listener(lambda peer: None) as port:
        result = probe_nats(f"ws://127.0.0.1:{port}", 5.0)

    assert (result.state, result.confirmed, result.mute) == (None, False, True)
