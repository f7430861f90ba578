"""How this machine reaches a URL: proxy, trusted certificates, login to a broker. Also the event loop of a client.

Clients and readiness checks both ask here, so that they reach the same server in the same way. Nothing else in the
package reads ``HTTP_PROXY``, ``NO_PROXY``, ``SSL_CERT_FILE`` and their like, and no library may read them by itself.
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
    # Readiness needs no loop, and does not pay for the import.
    import asyncio


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxy on the way to a URL, and the variable that names it."""

    variable: str
    url: str = field(repr=False)

    def __str__(self) -> str:
        return f"the proxy {mask_url(self.url)} of {self.variable}"


def proxy_for(url: str) -> Proxy | None:
    """Return the user's proxy for ``url``; None where it is opened directly, as everything on loopback is.

    Raises ``ConfigError``, with the name of the variable, for a proxy that cannot be used.
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
    """Return which certificates are trusted when ``url`` is opened; none has to be where it is plain ``http``, or ``nats``.

    ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` replace the certificates of the system and of certifi. Raises ``ConfigError``
    for a variable that names no certificate.
    """
    scheme = urlsplit(url).scheme
    if scheme not in ("https", "wss", "tls"):
        return _no_trust()
    file, folder = (os.environ.get(name, "").strip() for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    # Separate ones for each protocol: HTTP clients set the protocol that a context offers.
    return _trust(file, folder, scheme)


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker's URL, taken apart: where it is, and who logs in. A user without a password is a token."""

    server: str
    """the URL without credentials"""
    scheme: str
    endpoint: Endpoint
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def webs(self) -> bool:
        """Whether it is spoken to over WebSocket."""
        return self.scheme in ("ws", "wss")


def broker_address(url: str, source: str = "nats") -> BrokerAddress:
    """Return the parts of ``url``, percent-decoded. Raises ``ConfigError``, with ``source``, for one that cannot be used."""
    parts, endpoint = urlsplit(url), endpoints(url)[0]
    if parts.scheme in ("ws", "wss") and importlib.util.find_spec("aiohttp") is None:
        raise ConfigError(f"{source}: a broker at {parts.scheme}:// takes the package aiohttp: pip install aiohttp")
    server = f"{parts.scheme}://{endpoint}{parts.path}"
    user = None if parts.username is None else unquote(parts.username)
    if parts.password is None:
        return BrokerAddress(server, parts.scheme, endpoint, token=user or None)
    return BrokerAddress(server, parts.scheme, endpoint, user, unquote(parts.password))


class HomeLoop:
    """The event loop that a client belongs to: the one it is made in, or else the first that uses it."""

    def __init__(self, client: str) -> None:
        self._client = client
        from asyncio import _get_running_loop

        self._loop: asyncio.AbstractEventLoop | None = _get_running_loop()

    def enter(self) -> asyncio.AbstractEventLoop:
        """Return the client's own loop; raises ``GaiaError`` where another one runs, or none of asyncio's."""
        from asyncio import _get_running_loop

        loop = _get_running_loop()
        if loop is None:
            raise GaiaError(
                f"this {self._client} client belongs to an event loop of asyncio, and none runs now.\n{_FOREIGN}"
            )
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            raise GaiaError(
                f"this {self._client} client belongs to another event loop than the one that runs now.\n"
                'Run tests and fixtures on one loop: asyncio_default_test_loop_scope = "session" and '
                'asyncio_default_fixture_loop_scope = "session" in the pytest configuration, and loop_scope="session" '
                f"for a test or a fixture that names a loop itself. {_FOREIGN}"
            )
        return loop


_FOREIGN = (
    "Tests of unittest.IsolatedAsyncioTestCase, anyio and trio run in loops of their own and cannot use this client: "
    "make them functions that pytest-asyncio runs."
)


def _proxy_setting(kind: str) -> tuple[str, str]:
    """Return the variable that names the proxy for URLs of one kind, and its value; lower case wins, also where it is empty."""
    for name in (f"{kind}_proxy", f"{kind.upper()}_PROXY"):
        if name in os.environ:
            return name, os.environ[name].strip()
    # macOS and Windows have such settings elsewhere, too.
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
            f"{variable}: not the URL of a proxy for {scheme}://, such as http://proxy.example:3128; "
            "SOCKS proxies are not supported. NO_PROXY names the hosts that are reached without one."
        )
    return url


def _is_exempt(target: Endpoint) -> bool:
    """Return whether ``NO_PROXY`` names the host: itself, a domain above it, or a range of addresses."""
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
    # Several colons are those of an IPv6 address, which is no name.
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
        raise ConfigError(f"SSL_CERT_FILE: {file} holds no certificate in PEM format.") from None
    except OSError as error:
        raise ConfigError(f"SSL_CERT_FILE: {file} cannot be read: {error.strerror}.") from None
    if not (file or folder):
        # The system's may be missing, as in small containers.
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def _check_certificates(variable: str, value: str, fits: Callable[[Path], bool], kind: str) -> None:
    # SSL_CERT_DIR may name several.
    places = [Path(each) for each in value.split(os.pathsep) if each] if kind == "folder" else [Path(value)]
    if value and not any(fits(place) for place in places):
        found = "not a" if any(place.exists() for place in places) else "no such"
        raise ConfigError(
            f"{variable}: {found} {kind} {value}: it names certificates to trust, for https:// and tls://."
        )


@functools.cache
def _no_trust() -> ssl.SSLContext:
    # It costs nothing, and would refuse every certificate.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
