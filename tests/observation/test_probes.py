"""The results of probes for all kinds of responses."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.platform import Health
from pytest_gaia.observation.http_probe import probe_http
from pytest_gaia.observation.probes import (
    PermanentProbeError,
    ProbeResult,
    TemporaryProbeError,
    probe_postgres,
)
from tests.observation.scripted import Says

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.observation.scripted import ScriptedService

    Listener = Callable[[bytes], int]


@pytest.fixture
def says() -> Iterator[Listener]:
    """Start a server that sends these bytes on every connection, and return its port."""
    servers: list[socket.socket] = []

    def start(response: bytes) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(response)

        threading.Thread(target=serve, daemon=True).start()
        port: int = server.getsockname()[1]
        return port

    yield start
    for server in servers:
        # Wakes the thread in accept, which close alone does not.
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def page(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)


HEALTHY = b'{"status": "healthy"}'


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_what_does_not_speak_http_is_reported(says: Listener) -> None:
    with pytest.raises(PermanentProbeError, match="does not speak HTTP"):
        probe_http(f"http://127.0.0.1:{says(b'SSH-2.0-OpenSSH_9.2' + bytes(8))}", 5)


def test_a_response_that_stops_early_may_come_later(says: Listener) -> None:
    cut_short = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n10\r\n{}"

    with pytest.raises(TemporaryProbeError, match="closed before the response"):
        probe_http(f"http://127.0.0.1:{says(cut_short)}", 5)


def test_a_response_that_drips_without_an_end_is_given_up_in_time() -> None:
    server, stopped = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def drip() -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not stopped.wait(0.02):
                connection.sendall(b" ")

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    with server, pytest.raises(TemporaryProbeError, match="no complete response in time"):
        probe_http(f"http://127.0.0.1:{server.getsockname()[1]}", 0.3)
    stopped.set()
    thread.join(5)


@pytest.mark.parametrize("body", [b'{"a":' * 5000, b"<html>\xff\xfe</html>", b"", b"{"])
def test_a_body_that_is_not_json_is_degraded(says: Listener, body: bytes) -> None:
    assert probe_http(f"http://127.0.0.1:{says(page(body))}", 5) == ProbeResult(
        "degraded", "GET /health did not return JSON"
    )


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (HEALTHY, ProbeResult()),
        (b'{"status": "ok", "version": 7}', ProbeResult(version="7")),
        (b"{}", ProbeResult(confirmed=False)),
        (b'{"status": null}', ProbeResult(confirmed=False)),
        (b'{"status": "unhealthy"}', ProbeResult("unhealthy", "reports 'unhealthy'")),
        (b'{"status": "starting"}', ProbeResult("degraded", "reports 'starting'")),
        (b'{"status": {"gateway": "healthy"}}', ProbeResult("degraded", "reports \"{'gateway': 'healthy'}\"")),
    ],
    ids=repr,
)
def test_health_is_what_the_body_reports(says: Listener, body: bytes, result: ProbeResult) -> None:
    assert probe_http(f"http://127.0.0.1:{says(page(body))}", 5) == result


READY = Health(field="state", values=("up", "true"), partial=("limping",))


@pytest.mark.parametrize(
    ("healthy", "body", "result"),
    [
        (READY, b'{"state": "up", "status": "unhealthy"}', ProbeResult()),
        (READY, b'{"state": true}', ProbeResult()),
        (READY, b'{"state": "limping"}', ProbeResult("degraded", "reports 'limping'", partial=True)),
        (READY, b'{"status": "healthy"}', ProbeResult(confirmed=False)),
        (READY, b"up", ProbeResult("degraded", "GET /api/ready?deep=1 did not return JSON")),
        (Health(None, ()), b"up", ProbeResult()),
        (Health(None, ()), b"", ProbeResult()),
        (Health(None, ()), b'{"status": "unhealthy", "version": 7}', ProbeResult(version="7")),
    ],
    ids=repr,
)
def test_the_description_defines_what_is_healthy(
    says: Listener, healthy: Health, body: bytes, result: ProbeResult
) -> None:
    assert probe_http(f"http://127.0.0.1:{says(page(body))}/api", 5, "/ready?deep=1", healthy) == result


@pytest.mark.parametrize(
    ("to", "detail"),
    [("/ready/", ""), ("/login?token=s3cret", "GET /ready was redirected to 127.0.0.1/login")],
)
def test_a_login_page_is_no_healthy_service(serve: Callable[..., ScriptedService], to: str, detail: str) -> None:
    service = serve(Says(302, headers={"Location": to}), Says(200, "page"))
    result = probe_http(service.url, 5, "/ready", Health(None, ()))

    assert result == (ProbeResult("degraded", detail) if detail else ProbeResult())


def test_only_status_200_is_healthy(serve: Callable[..., ScriptedService]) -> None:
    result = probe_http(serve(Says(202, {"status": "healthy"})).url, 5)

    assert result == ProbeResult("degraded", "GET /health returned 202")


def test_https_to_a_server_without_tls_asks_whether_it_is_http(says: Listener) -> None:
    with pytest.raises(PermanentProbeError, match="does not use TLS; is it http://"):
        probe_http(f"https://127.0.0.1:{says(page(b'{}'))}", 5)


def test_a_proxy_that_cannot_be_reached_is_named_without_its_password(
    no_proxy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:hunter2@no-such-proxy.invalid:3128")

    with pytest.raises(PermanentProbeError) as problem:
        probe_http("http://gateway.example", 5)

    assert "unknown host no-such-proxy.invalid (through proxy http://" in str(problem.value)
    assert "hunter2" not in str(problem.value)


def test_loopback_needs_no_proxy(no_proxy: None, monkeypatch: pytest.MonkeyPatch, says: Listener) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://no-such-proxy.invalid:3128")

    assert probe_http(f"http://127.0.0.1:{says(page(HEALTHY))}", 5) == ProbeResult()


def test_the_first_of_several_databases_is_asked(says: Listener) -> None:
    assert probe_postgres(f"postgresql://u:p@127.0.0.1:{says(b'N')},other.example:5433/gaia", 5) == ProbeResult()
