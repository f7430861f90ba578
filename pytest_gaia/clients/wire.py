"""How this machine reaches a URL: proxy, trusted certificates, NATS credentials; and the event loop of a client.

Clients and readiness probes both use this module, so that they reach the same server in the same way. No other module
and no library reads ``HTTP_PROXY``, ``NO_PROXY``, ``SSL_CERT_FILE`` and similar variables.
"""

from __future__ import annotations

import functools
import importlib.util
import ipaddress
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from pytest_gaia.config.addresses import Endpoint, endpoint_of, endpoints, is_loopback
from pytest_gaia.errors import ConfigError, GaiaError
from pytest_gaia.secrets.masks import mask_url

if TYPE_CHECKING:
    # Readiness probes need no event loop; this saves the import.
    import asyncio


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxy for a URL, and the variable that sets it."""

    variable: str
    url: str = field(repr=False)

    def __str__(self) -> str:
        return f"proxy {mask_url(self.url)} from {self.variable}"


def proxy_for(url: str) -> Proxy | None:
    """Return the user's proxy for ``url``; None if it is reached directly, as all of loopback is.

    Raises ``ConfigError`` with the name of the variable for an invalid proxy.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        return None
    variable, value = next((found for kind in (parts.scheme, "all") if (found := _proxy_setting(kind))[1]), ("", ""))
    if not value or _is_exempt(endpoints(url)[0]):
        return None
    return Proxy(variable, _proxy_url(variable, value, parts.scheme))


def trusted(url: str) -> ssl.SSLContext:
    """Return the trusted certificates for ``url``; plain ``http`` and ``nats`` need none.

    ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` replace the certificates of the system and of certifi. Raises ``ConfigError``
    if such a variable does not lead to a certificate.
    """
    scheme = urlsplit(url).scheme
    if scheme not in ("https", "wss", "tls"):
        return _no_trust()
    file, folder = (os.environ.get(name, "").strip() for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    # One context for each scheme: HTTP clients set the protocols that a context offers.
    return _trust(file, folder, scheme)


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """The parts of a NATS URL: address and credentials. A user without a password is a token."""

    server: str
    """the URL without credentials"""
    scheme: str
    endpoint: Endpoint
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def webs(self) -> bool:
        """Whether the connection uses WebSocket."""
        return self.scheme in ("ws", "wss")


def broker_address(url: str, source: str = "nats") -> BrokerAddress:
    """Return the percent-decoded parts of ``url``. Raises ``ConfigError`` with ``source`` for a URL that cannot be used."""
    parts, endpoint = urlsplit(url), endpoints(url)[0]
    if parts.scheme in ("ws", "wss") and importlib.util.find_spec("aiohttp") is None:
        raise ConfigError(f"{source}: {parts.scheme}:// needs the package aiohttp: pip install aiohttp")
    server = f"{parts.scheme}://{endpoint}{parts.path}"
    user = None if parts.username is None else unquote(parts.username)
    if parts.password is None:
        return BrokerAddress(server, parts.scheme, endpoint, token=user or None)
    return BrokerAddress(server, parts.scheme, endpoint, user, unquote(parts.password))


class HomeLoop:
    """The event loop of a client: the loop that created it, or the first that uses it."""

    def __init__(self, client: str) -> None:
        self._client = client
        from asyncio import _get_running_loop

        self._loop: asyncio.AbstractEventLoop | None = _get_running_loop()

    def enter(self) -> asyncio.AbstractEventLoop:
        """Return the client's loop. Raises ``GaiaError`` if another loop runs, or none of asyncio's."""
        from asyncio import _get_running_loop

        loop = _get_running_loop()
        if loop is None:
            raise GaiaError(f"this {self._client} client needs a running event loop of asyncio.\n{_FOREIGN}")
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            raise GaiaError(
                f"this {self._client} client belongs to another event loop.\n"
                'Run all tests and fixtures on one loop: set asyncio_default_test_loop_scope = "session" and '
                'asyncio_default_fixture_loop_scope = "session" in the pytest configuration, and loop_scope="session" '
                f"on tests and fixtures that set a scope. {_FOREIGN}"
            )
        return loop


_FOREIGN = (
    "Tests of unittest.IsolatedAsyncioTestCase, anyio and trio have their own loops and cannot use this client: "
    "write them as functions for pytest-asyncio."
)


def _proxy_setting(kind: str) -> tuple[str, str]:
    """Return the name and the value of the proxy variable for one kind of URL; lower case wins, even if it is empty."""
    for name in (f"{kind}_proxy", f"{kind.upper()}_PROXY"):
        if name in os.environ:
            return name, os.environ[name].strip()
    # macOS and Windows have other proxy settings, too.
    return "the system's settings", getproxies().get(kind, "").strip()


def _proxy_url(variable: str, value: str, scheme: str) -> str:
    url = value if "://" in value else f"http://{value}"
    kinds = ("http", "https") if scheme == "http" else ("http",)
    try:
        parts = urlsplit(url)
        known = parts.scheme in kinds and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise ConfigError(
            f"{variable}: expected the URL of a proxy for {scheme}://, such as http://proxy.example:3128. "
            "SOCKS proxies are not supported. List hosts to reach without a proxy in NO_PROXY."
        )
    return url


def _is_exempt(target: Endpoint) -> bool:
    """Return whether ``NO_PROXY`` contains the host, a parent domain, or its address range."""
    entries = _proxy_setting("no")[1].replace(",", " ").split()
    return any(_names(entry.lower(), target) for entry in entries)


def _names(entry: str, target: Endpoint) -> bool:
    if entry == "*":
        return True
    bare = entry.strip("[]")
    try:
        return ipaddress.ip_address(target.host) in ipaddress.ip_network(bare, strict=False)
    except ValueError:
        pass
    # Two or more colons are part of an IPv6 address.
    named = endpoint_of(entry if entry.startswith("[") or entry.count(":") < 2 else f"[{entry}]")
    name = named.host.removeprefix("*").removeprefix(".")
    same = target.host == name or (bool(name) and target.host.endswith(f".{name}"))
    return same and named.port in (0, target.port)


@functools.cache
def _trust(file: str, folder: str, scheme: str) -> ssl.SSLContext:
    del scheme
    _check_certificates("SSL_CERT_FILE", file, Path.is_file, "file")
    _check_certificates("SSL_CERT_DIR", folder, Path.is_dir, "folder")
    try:
        context = ssl.create_default_context(cafile=file or None, capath=folder or None)
    except ssl.SSLError:
        raise ConfigError(f"SSL_CERT_FILE: {file} contains no certificate in PEM format.") from None
    except OSError as error:
        raise ConfigError(f"SSL_CERT_FILE: {file} cannot be read: {error.strerror}.") from None
    if not (file or folder):
        # Small containers have no certificates of the system.
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def _check_certificates(variable: str, value: str, fits: Callable[[Path], bool], kind: str) -> None:
    # SSL_CERT_DIR may list several.
    places = [Path(each) for each in value.split(os.pathsep) if each] if kind == "folder" else [Path(value)]
    if value and not any(fits(place) for place in places):
        found = "not a" if any(place.exists() for place in places) else "no such"
        raise ConfigError(
            f"{variable}: {found} {kind} {value}. Set it to trusted certificates for https:// and tls://, or unset it."
        )


@functools.cache
def _no_trust() -> ssl.SSLContext:
    # A cheap context that rejects every certificate.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
