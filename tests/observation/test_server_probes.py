"""Redis, AMQP and TCP: real servers (Debian's packages), and listeners for what those do not do."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_gaia.observation.probes import (
    PermanentProbeError,
    ProbeError,
    ProbeResult,
    TemporaryProbeError,
    probe_amqp,
    probe_redis,
    probe_tcp,
)
from tests.clients.peers import self_signed
from tests.observation.scripted import listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PASSWORD = "p@:/ 1"
QUOTED = "p%40%3A%2F%201"
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Debian's script, without the wrapper that only works for root and its own user"""


def free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        bound = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in bound:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in bound]


@contextlib.contextmanager
def running(folder: Path, *command: str, environ: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run a server in ``folder`` until the end of the block."""
    program = shutil.which(command[0])
    if program is None:
        give_up = pytest.fail if os.environ.get("SERVER_TESTS") == "required" else pytest.skip
        give_up(f"{command[0]} is not installed; on Debian, `ci/setup servers` installs it")
    with (folder / f"{command[0].rpartition('/')[2]}.log").open("wb") as log:
        process = subprocess.Popen([program, *command[1:]], cwd=folder, env=environ, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def wait_for(port: int, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert time.monotonic() < until, f"no server on port {port}"
        time.sleep(0.05)


class Redis(NamedTuple):
    port: int
    tls_port: int
    certificate: Path


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis server with a password and two users."""
    folder = tmp_path_factory.mktemp("redis")
    key, certificate = self_signed(folder)
    plain, secured = free_ports(2)
    (folder / "redis.conf").write_text(
        f'bind 127.0.0.1\nport {plain}\ntls-port {secured}\ntls-cert-file {certificate}\ntls-key-file {key}\n'
        f'tls-auth-clients no\nsave ""\nrequirepass "{PASSWORD}"\nuser reader on ">{PASSWORD}" +ping\n'
        f'user mute on ">{PASSWORD}" +get\n'
    )  # fmt: skip
    with running(folder, "redis-server", str(folder / "redis.conf")):
        wait_for(plain)
        yield Redis(plain, secured, certificate)


@pytest.mark.parametrize("login", [f":{QUOTED}@", f"default:{QUOTED}@", f"reader:{QUOTED}@"])
def test_redis_is_logged_in_to_and_responds_to_ping(redis: Redis, login: str) -> None:
    # No server has so many databases: their number is not sent.
    assert probe_redis(f"redis://{login}127.0.0.1:{redis.port}/4711", 5.0) == ProbeResult()


@pytest.mark.parametrize(
    ("login", "refusal"),
    [
        ("", "NOAUTH Authentication required."),
        (":wrong@", "WRONGPASS invalid username-password pair or user is disabled."),
        (f"nobody:{QUOTED}@", "WRONGPASS invalid username-password pair or user is disabled."),
        (f"mute:{QUOTED}@", "NOPERM this user has no permissions to run the 'ping' command"),
    ],
)
def test_a_redis_that_refuses_is_there_and_degraded(redis: Redis, login: str, refusal: str) -> None:
    result = probe_redis(f"redis://{login}127.0.0.1:{redis.port}", 5.0)

    assert (result.state, result.detail.removesuffix(" or its subcommand")) == ("degraded", f"refused: {refusal}")


def test_redis_over_tls_needs_a_trusted_certificate(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"rediss://:{QUOTED}@127.0.0.1:{redis.tls_port}"
    with pytest.raises(PermanentProbeError, match="the certificate is not trusted"):
        probe_redis(url, 5.0)

    monkeypatch.setenv("SSL_CERT_FILE", str(redis.certificate))
    assert probe_redis(url, 5.0) == ProbeResult()


def test_the_right_scheme_is_named(redis: Redis) -> None:
    plain, secured, _ = redis
    for scheme, port, right in (("rediss", plain, "redis"), ("redis", secured, "rediss"), ("amqp", secured, "amqps")):
        probe = probe_amqp if scheme == "amqp" else probe_redis
        with pytest.raises(PermanentProbeError, match=rf"; is it {right}://\?") as problem:
            probe(f"{scheme}://127.0.0.1:{port}", 5.0)
        assert problem.value.remedy == f"write the URL with {right}://."


def test_an_old_redis_without_a_password_refuses_one() -> None:
    def respond(peer: socket.socket) -> None:
        peer.recv(4096)
        peer.sendall(b"-ERR Client sent AUTH, but no password is set\r\n+PONG\r\n")

    with listener(respond) as port:
        result = probe_redis(f"redis://:x@127.0.0.1:{port}", 5.0)

    assert result == ProbeResult("degraded", "refused: ERR Client sent AUTH, but no password is set")


def test_a_redis_that_loads_its_data_is_asked_again() -> None:
    with (
        listener(lambda peer: peer.sendall(b"-LOADING Redis is loading the dataset in memory\r\n")) as port,
        pytest.raises(TemporaryProbeError, match="LOADING Redis is loading") as problem,
    ):
        probe_redis(f"redis://127.0.0.1:{port}", 5.0)
    assert problem.value.answered


@pytest.mark.parametrize(
    "spoken", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n", b"220 ready", b"\x01" * 20]
)
def test_another_protocol_is_named_as_such(spoken: bytes) -> None:
    def respond(peer: socket.socket) -> None:
        peer.recv(4096)
        peer.sendall(spoken)

    with listener(respond) as port:
        for probe, scheme, what in ((probe_redis, "redis", "a Redis server"), (probe_amqp, "amqp", "an AMQP broker")):
            with pytest.raises(PermanentProbeError, match=f"is not {what}"):
                probe(f"{scheme}://127.0.0.1:{port}", 5.0)


def test_a_silent_server_is_given_up_in_time() -> None:
    over = threading.Event()

    def wait(_: socket.socket) -> None:
        over.wait(30)

    with listener(wait) as port:
        for probe, scheme in ((probe_redis, "redis"), (probe_amqp, "amqp")):
            with pytest.raises(ProbeError, match="no response in time"):
                probe(f"{scheme}://127.0.0.1:{port}", 0.3)
        over.set()


def test_a_broker_of_another_version_of_amqp_is_there_and_degraded() -> None:
    with listener(lambda peer: peer.sendall(b"AMQP\x00\x01\x00\x00")) as port:
        result = probe_amqp(f"amqp://127.0.0.1:{port}", 5.0)

    assert result == ProbeResult("degraded", "uses AMQP 1.0.0, not 0-9-1")


@pytest.mark.parametrize(("probe", "scheme"), [(probe_redis, "redis"), (probe_amqp, "amqp"), (probe_tcp, "tcp")])
def test_a_port_without_a_server_refuses(probe: Callable[[str, float], ProbeResult], scheme: str) -> None:
    with pytest.raises(PermanentProbeError, match=r"^connection refused$"):
        probe(f"{scheme}://user:secret@127.0.0.1:{free_ports(1)[0]}", 5.0)


def test_a_tcp_server_is_connected_to_and_shows_nothing_else() -> None:
    with listener(lambda peer: None) as port:
        result = probe_tcp(f"tcp://127.0.0.1:{port}", 5.0)

    assert (result.state, result.confirmed, result.mute) == (None, False, True)


@pytest.mark.slow("servers")
def test_rabbitmq_starts_a_connection(tmp_path: Path) -> None:
    node, between, mapper = free_ports(3)
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(mapper),
        "RABBITMQ_CONFIG_FILE": str(tmp_path / "none"),
        "RABBITMQ_DIST_PORT": str(between),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(tmp_path / "plugins"),
        "RABBITMQ_LOG_BASE": str(tmp_path / "log"),
        "RABBITMQ_MNESIA_BASE": str(tmp_path / "data"),
        "RABBITMQ_NODENAME": "probed@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(node),
        "RABBITMQ_PID_FILE": str(tmp_path / "pid"),
    }
    # Without it, RabbitMQ would start one that never ends.
    with running(tmp_path, "epmd", "-port", str(mapper), environ=environ):
        wait_for(mapper)
        with running(tmp_path, RABBITMQ, environ=environ):
            wait_for(node, 120)

            assert probe_amqp(f"amqp://guest:guest@127.0.0.1:{node}/", 30.0) == ProbeResult()
            with pytest.raises(PermanentProbeError, match=r"; is it amqp://\?"):
                probe_amqp(f"amqps://127.0.0.1:{node}", 30.0)
            with pytest.raises(ProbeError, match=r"is not a Redis server|closed before the response"):
                probe_redis(f"redis://127.0.0.1:{node}", 30.0)
