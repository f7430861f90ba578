"""The Redis client against a real server: replies, the write guard, records without values, and failures."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.redis import RedisClient
from pytest_gaia.clients.services import ClientSet
from pytest_gaia.config.environment import Timeouts
from pytest_gaia.config.platform import Platform, Service
from pytest_gaia.errors import (
    ConfigError,
    DeadlineExceeded,
    GaiaError,
    NotApplicable,
    ServiceError,
    Unreachable,
    WriteRefused,
)
from pytest_gaia.secrets.masks import Secret
from tests.clients.conftest import environment
from tests.clients.peers import self_signed, silent, unused_port
from tests.observation.test_server_probes import PASSWORD, QUOTED, free_ports, running, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_gaia.clients.exchanges import Statement

pytest.importorskip("redis")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int, Path]]:
    """A Redis server with a password: its port, its port for TLS, and its certificate."""
    folder = tmp_path_factory.mktemp("redis")
    key, certificate = self_signed(folder)
    plain, secured = free_ports(2)
    (folder / "redis.conf").write_text(
        f'bind 127.0.0.1\nport {plain}\ntls-port {secured}\ntls-cert-file {certificate}\ntls-key-file {key}\n'
        f'tls-auth-clients no\nsave ""\nrequirepass "{PASSWORD}"\n'
    )  # fmt: skip
    with running(folder, "redis-server", str(folder / "redis.conf")):
        wait_for(plain)
        yield plain, secured, certificate


def url_of(server: tuple[int, int, Path]) -> str:
    return f"redis://:{QUOTED}@127.0.0.1:{server[0]}"


def client(url: str, *, permitted: bool = True, record: list[Statement] | None = None, **values: Any) -> RedisClient:
    shop = Platform({"cache": Service("cache", kind="redis", variable="CACHE")})
    where = environment(
        "shop",
        **{
            "platform": shop,
            "services": shop.names,
            "required": (),
            "connections": {"cache": Secret(url)},
            "sources": {"urls.cache": ".env:3"},
            **values,
        },
    )
    guard = WriteGuard(where, lambda: permitted)
    return RedisClient(where, "cache", guard, (record if record is not None else []).append)


async def test_replies_are_text_and_bytes_that_are_no_text_stay(server: tuple[int, int, Path]) -> None:
    cache = client(url_of(server))
    assert await cache.command("SET", "key", "mu") is True
    await cache.command("hset", "hash", "a", 1, "b", 2.5)
    await cache.command("SET", "raw", b"\xff\x00")
    assert await cache.command("get", "key") == "mu"
    assert await cache.command("HGETALL", "hash") == {"a": "1", "b": "2.5"}
    assert await cache.command("GET", "raw") == b"\xff\x00"
    assert await cache.command("MGET", "key", "nothing") == ["mu", None]
    assert await cache.command("OBJECT ENCODING", "key") == await cache.command("OBJECT", "ENCODING", "key")
    await cache.aclose()


async def test_a_command_that_does_not_only_read_is_refused_and_not_sent(server: tuple[int, int, Path]) -> None:
    url = url_of(server)
    record: list[Statement] = []
    cache = client(url)
    await cache.command("SET", "kept", "1")
    closed = client(url, permitted=False, record=record)
    assert await closed.command("GET", "kept") == "1"
    for command in (
        ("DEL", "kept"),
        ("EVAL", "return redis.call('DEL', 'kept')", 0),
        ("FLUSHALL",),
        ("GETDEL", "kept"),
    ):
        with pytest.raises(WriteRefused, match=f"nothing was sent: {command[0]} to cache"):
            await closed.command(*command)
    assert await cache.command("GET", "kept") == "1"
    assert len(record) == 1
    await asyncio.gather(cache.aclose(), closed.aclose())


async def test_records_have_names_and_numbers_and_never_values(server: tuple[int, int, Path]) -> None:
    record: list[Statement] = []
    cache = client(url_of(server), record=record)
    await cache.command("SET", "secret-key", "secret-value")
    with pytest.raises(ServiceError, match="cache refused LPUSH: WRONGTYPE"):
        await cache.command("LPUSH", "secret-key", "1")
    await cache.aclose()
    assert [(each.text, each.error) for each in record] == [
        ("cache: SET (2 arguments)", None),
        ("cache: LPUSH (2 arguments)", "ServiceError"),
    ]


async def test_what_would_change_the_connection_of_the_next_test_is_refused(server: tuple[int, int, Path]) -> None:
    cache = client(url_of(server))
    for name in ("SELECT", "multi", "SUBSCRIBE", "CLIENT SETNAME"):
        with pytest.raises(ValueError, match="changes the connection"):
            await cache.command(name, "1")
    with pytest.raises(TypeError, match="a name and arguments"):
        await cache.command("GET", None)  # type: ignore[arg-type]  # a usage error


async def test_a_server_is_reached_over_tls_with_a_trusted_certificate(
    server: tuple[int, int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, port, certificate = server
    url = f"rediss://:{QUOTED}@127.0.0.1:{port}"
    with pytest.raises(Unreachable, match=r"the certificate is not trusted[\s\S]*Set SSL_CERT_FILE"):
        await client(url).command("PING")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    cache = client(url)
    assert await cache.command("PING") in (True, "PONG")
    await cache.aclose()


async def test_failures_name_the_source_and_no_password(server: tuple[int, int, Path]) -> None:
    dead = f"redis://:p-secret-123@127.0.0.1:{unused_port()}"
    with pytest.raises(Unreachable) as caught:
        await client(dead).command("PING")
    assert "connection refused" in str(caught.value)
    assert "Source of the URL: .env:3" in str(caught.value)
    assert "GAIA_SHOP_CACHE_URL" in str(caught.value)
    assert "p-secret-123" not in str(caught.value)
    with pytest.raises(Unreachable, match="it rejects the credentials"):
        await client(f"redis://:wrong-password@127.0.0.1:{server[0]}").command("PING")
    with pytest.raises(ConfigError, match=r"^\.env:3: "):
        await client("redis://h/0?db=x&socket_timeout=y").command("PING")


async def test_a_server_that_does_not_respond_has_a_deadline() -> None:
    async with silent() as port:
        cache = client(f"redis://127.0.0.1:{port}", timeouts=Timeouts(connect=5.0, response=0.05))
        with pytest.raises((DeadlineExceeded, Unreachable), match=r"0\.05 s|within"):
            await cache.command("PING")
        await cache.aclose()


def test_another_event_loop_is_an_error_with_the_setting() -> None:
    cache = client("redis://127.0.0.1:1")
    with pytest.raises(Unreachable):
        asyncio.run(cache.command("PING"))
    with pytest.raises(GaiaError, match="belongs to another event loop"):
        asyncio.run(cache.command("PING"))


async def test_without_the_library_the_test_does_not_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotApplicable, match=r"pip install 'pytest-gaia\[redis\]'"):
        client("redis://h")


async def test_the_clients_of_a_session_share_one(server: tuple[int, int, Path]) -> None:
    where = environment(
        platform=Platform({"cache": Service("cache", kind="redis")}),
        services=("cache",),
        connections={"cache": Secret(url_of(server))},
    )
    clients = ClientSet(where, WriteGuard(where))
    assert clients.redis("cache") is clients.redis("cache")
    await clients.redis("cache").command("PING")
    await clients.aclose()
