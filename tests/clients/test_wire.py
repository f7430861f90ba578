"""A readiness probe succeeds exactly if a client of the same environment gets a response, and reports the same reason."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from pytest_gaia.clients.broker.messaging import Messaging
from pytest_gaia.clients.database.client import Database
from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.services import ClientSet
from pytest_gaia.clients.wire import proxy_for, trusted
from pytest_gaia.errors import ConfigError, Unreachable
from pytest_gaia.observation.readiness import probe_services
from pytest_gaia.secrets.masks import Secret
from tests.clients.conftest import environment
from tests.clients.nats_server import nats_server
from tests.clients.peers import always, peer, self_signed, unused_port

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.config.environment import Environment
    from pytest_gaia.run.sandbox import Sandbox

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
HEALTHY = always(200, {"status": "healthy"})
REACHED = "reached"


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def looked(where: Environment) -> str:
    """Return the result of the readiness probe of the only service of ``where``."""
    try:
        (state,) = await asyncio.to_thread(probe_services, where, deadline=20.0)
    except ConfigError as error:
        return str(error)
    return REACHED if state.state in ("ready", "started") else state.detail


async def used(where: Environment) -> str:
    """Return the result of a client."""
    clients = ClientSet(where, WriteGuard(where))
    try:
        if where.urls:
            await clients.http("gateway").get("/health")
        else:
            await (await Messaging.of(where, "nats", WriteGuard(where)).open()).aclose()
    except (ConfigError, Unreachable) as error:
        return str(error)
    finally:
        await clients.aclose()
    return REACHED


def by_http(url: str) -> Environment:
    return environment("adhoc", urls={"gateway": url}, services=frozenset({"gateway"}))


def by_nats(url: str) -> Environment:
    return environment("adhoc", nats=url, services=("nats",), sources={"urls.nats": "GAIA_NATS_URL"})


FAR = "http://gaia.invalid"


@pytest.mark.parametrize(
    ("variables", "url", "found"),
    [
        ({}, FAR, REACHED),
        ({"NO_PROXY": "::1,fe80::/10"}, FAR, REACHED),
        ({"NO_PROXY": "localhost,[::1]"}, FAR, REACHED),
        ({"NO_PROXY": "10.0.0.0/8 , [::1]:8080"}, FAR, REACHED),
        ({"NO_PROXY": "*.invalid"}, FAR, "not known"),
        ({"NO_PROXY": "gaia.invalid:80"}, FAR, "not known"),
        ({"NO_PROXY": "gaia.invalid:81"}, FAR, REACHED),
        ({"NO_PROXY": "192.0.2.0/24"}, "http://192.0.3.1", REACHED),
        ({"HTTPS_PROXY": "socks5h://127.0.0.1:9"}, FAR, REACHED),
        ({"ALL_PROXY": "socks5://127.0.0.1:9"}, FAR, REACHED),
        ({"HTTP_PROXY": "socks5://127.0.0.1:9"}, FAR, "HTTP_PROXY: expected the URL of a proxy"),
        ({"HTTP_PROXY": " ", "ALL_PROXY": "socks5://127.0.0.1:9"}, FAR, "ALL_PROXY: expected the URL of a proxy"),
        ({"HTTP_PROXY": " "}, FAR, "not known"),
        ({"http_proxy": ""}, FAR, "not known"),
        ({"HTTP_PROXY": "", "ALL_PROXY": "{proxy}"}, FAR, REACHED),
        ({"HTTP_PROXY": "{host}"}, FAR, REACHED),
        ({"HTTP_PROXY": "http://127.0.0.1:99999"}, FAR, "HTTP_PROXY: expected the URL of a proxy"),
        ({"HTTP_PROXY": "{nobody}"}, FAR, "connection refused"),
        ({"SSL_CERT_FILE": "/nowhere/ca.pem"}, FAR, REACHED),
        ({"SSL_CERT_FILE": "/"}, FAR, REACHED),
        ({"SSL_CERT_FILE": "/nowhere/ca.pem"}, "{secure}", "SSL_CERT_FILE: no such file /nowhere/ca.pem"),
        ({"SSL_CERT_FILE": "/"}, "{secure}", "SSL_CERT_FILE: not a file /"),
        ({"SSL_CERT_FILE": "{key}"}, "{secure}", "contains no certificate"),
        ({"SSL_CERT_DIR": "/nowhere"}, "{secure}", "SSL_CERT_DIR: no such folder /nowhere"),
        ({"SSL_CERT_FILE": "{certificate}"}, "{secure}", REACHED),
        ({"SSL_CERT_FILE": " "}, "{secure}", "the certificate is not trusted: self-signed certificate"),
        ({}, "{secure}", "the certificate is not trusted: self-signed certificate"),
    ],
    ids=str,
)
async def test_http(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, found: str
) -> None:
    key, certificate = self_signed(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with peer(HEALTHY) as proxy, peer(HEALTHY, tls=tls) as secure:
        known: dict[str, Any] = {
            "proxy": proxy.url,
            "host": f"127.0.0.1:{proxy.port}",
            "nobody": f"http://127.0.0.1:{unused_port()}",
            "secure": secure.url,
            "key": key,
            "certificate": certificate,
        }
        for name, value in {"HTTP_PROXY": "{proxy}", **variables}.items():
            monkeypatch.setenv(name, value.format(**known))
        where = by_http(url.format(**known))

        look, use = await looked(where), await used(where)

    if found == "not known":
        assert "unknown host" in look
        assert "not known" in use or "No address" in use
    else:
        assert found in look
        assert found in use


USER = 'authorization { user: "u ser@x", password: "p:a/s#s?%é" }'
TOKEN = 'authorization { token: "t:o@k" }'
TLS = 'tls {{ cert_file: "{certificate}", key_file: "{key}" }}'


@pytest.mark.parametrize(
    ("server", "url", "trusts", "found"),
    [
        ("", "nats://{host}", False, REACHED),
        ("", "NATS://{host}", False, REACHED),
        (USER, "nats://u%20ser%40x:p%3Aa%2Fs%23s%3F%25%C3%A9@{host}", False, REACHED),
        (TOKEN, "nats://t%3Ao%40k@{host}", False, REACHED),
        (TLS, "tls://{host}", True, REACHED),
        (TLS, "nats://{host}", True, REACHED),
        (TLS, "tls://{host}", False, "the certificate is not trusted: self-signed certificate"),
        (TLS, "nats://{host}", False, "the certificate is not trusted: self-signed certificate"),
        ("", "tls://{host}", True, "does not use TLS; is it nats://?"),
        ("", "ws://{host}", False, "GAIA_NATS_URL: ws:// needs the package aiohttp"),
        (TOKEN, "nats://wrong@{host}", False, "Authorization Violation"),
    ],
)
async def test_nats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str, url: str, trusts: bool, found: str
) -> None:
    key, certificate = self_signed(tmp_path)
    if trusts:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    more = server.format(key=key, certificate=certificate) if server == TLS else server
    async with nats_server(tmp_path, more) as broker:
        where = by_nats(url.format(host=f"127.0.0.1:{broker.port}"))

        look, use = await looked(where), await used(where)

    assert found in look
    assert found in use
    # The client's remedy matches the cause.
    assert ("SSL_CERT_FILE" in use) == ("certificate is not trusted" in found)
    assert ("Check the user and password, or the token" in use) == ("Authorization" in found)


async def test_a_wrong_scheme_is_named_long_before_the_deadline(tmp_path: Path) -> None:
    key, certificate = self_signed(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    # The server without TLS waits for the end of a request, which the TLS greeting does not have.
    async with peer(HEALTHY) as plain, peer(HEALTHY, tls=tls) as secure:
        for url, problem in (
            (plain.url.replace("http:", "https:"), "the server does not use TLS; is it http://?"),
            (secure.url.replace("https:", "http:"), "the server uses TLS; is it https://?"),
        ):
            (state,) = await asyncio.to_thread(probe_services, by_http(url), deadline=60.0)
            assert (state.state, state.detail) == ("unreachable", problem)
            assert state.attempts < 10
            assert state.remedy == f"write the URL with {problem.rpartition(' ')[2].removesuffix('?')}."


def of_database(dsn: str) -> Environment:
    return environment("sandbox", database=Secret(dsn), services=("postgres",), sandbox=True)


@pytest.mark.parametrize(
    "query",
    ["host=127.0.0.1&port={port}", "host=127.0.0.1:{port}", "host=127.0.0.1,localhost&port={closed},{port}", ""],
)
async def test_postgres(sandbox: Sandbox, query: str) -> None:
    """The host is in the query; or there are two hosts, and one responds."""
    url, closed = urlsplit(sandbox.stack("wire").dsn), unused_port()
    query = query.format(port=url.port, closed=closed)
    dsn = f"postgresql://{url.path}?{query}&user={url.username}&password={url.password}"
    if not query:
        dsn = url._replace(netloc=url.netloc.replace("@", f"@127.0.0.1:{closed},", 1)).geturl()
    where = of_database(dsn)

    assert await looked(where) == REACHED
    database = Database(where, "postgres", WriteGuard(where))
    async with database.test_transaction() as session:
        assert await session.fetchval("SELECT 1") == 1
    await database.aclose()


def test_without_variables_certificates_of_the_system_and_of_certifi_are_trusted() -> None:
    assert trusted("https://example.org").cert_store_stats()["x509_ca"] > 0


def test_a_proxy_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://user:hunter2@proxy.example:3128")

    proxy = proxy_for("https://gaia.example")

    assert str(proxy) == "proxy http://user:***@proxy.example:3128 from https_proxy"
    assert "hunter2" not in repr(proxy)
