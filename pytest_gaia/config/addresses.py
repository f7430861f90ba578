"""Validation of URLs, and classification of hosts."""

import ipaddress
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from pytest_gaia.config.platform import DISABLED, Kind
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.secrets.masks import MASK

_NATS_SCHEMES = ("nats", "tls", "ws", "wss")
_DSN_SCHEMES = ("postgresql", "postgres")
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "nats": 4222, "tls": 4222}
_PORTS |= {"redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671}
_DSN_PORT = 5432
_LOOPBACK_NAMES = ("localhost", "localhost.localdomain", "localhost6", "ip6-localhost", "ip6-loopback")
FLY_DOMAIN = "fly.dev"
_FLY_PRIVATE = (".internal", ".flycast")
_PRIVATE_ENDS = (*_FLY_PRIVATE, ".local")


def http_url(text: str, place: str) -> str:
    """Return the base URL of a service, without a slash at the end; ``ConfigError`` starts with ``place``."""
    if not re.match(r"https?://", text, re.IGNORECASE):
        guess = f"; did you mean http://{text}?" if re.fullmatch(r"[\w.-]+(:\d+)?(/[^\s@]*)?", text) else "."
        raise ConfigError(f"{place}: {_shown(text)!r} does not start with http:// or https://{guess}")
    parts = _split(text, place)
    if parts.username is not None or "@" in parts.path:
        raise ConfigError(
            f"{place}: the URL of a service must not contain credentials; declare `auth`, and set its variable instead."
        )
    if parts.query or parts.fragment:
        raise ConfigError(f"{place}: expected a base URL; remove the part from '?' or '#' on.")
    return text.rstrip("/")


PLACEHOLDERS = ("app", "service", "env", "unit")
"""placeholders in the URL of a service"""
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def unknown_placeholders(text: str, known: Collection[str]) -> Iterator[str]:
    """Yield the problem of each placeholder in ``text`` that is not one of ``known``."""
    for name in _PLACEHOLDER.findall(text):
        if name not in known:
            yield f"unknown placeholder {{{name}}}; {nearest(name, known)}"


def http_template(text: str, place: str) -> str:
    """Check a URL that may hold placeholders, and return it as :func:`http_url` does."""
    for problem in unknown_placeholders(text, PLACEHOLDERS):
        raise ConfigError(f"{place}: {problem}")
    http_url(_PLACEHOLDER.sub("x", text), place)
    return text.rstrip("/")


def nats_url(text: str, place: str) -> str:
    """Return the URL of NATS, or ``disabled``; ``ConfigError`` starts with ``place``."""
    if text == DISABLED:
        return text
    if "," in text:
        raise ConfigError(f"{place}: expected one URL; clients discover the other servers of a cluster.")
    _check_scheme(text, _NATS_SCHEMES, place, f"a NATS server, such as nats://localhost:4222, or {DISABLED!r}")
    _split(text, place)
    _check_credentials(text, place)
    return text.rstrip("/")


def database_url(text: str, place: str) -> str:
    """Return a DSN of PostgreSQL; ``ConfigError`` starts with ``place`` and never shows the value."""
    _check_scheme(text, _DSN_SCHEMES, place, "a database, such as postgresql://user:password@host:5432/name")
    _check_credentials(text, place)
    try:
        addresses = urlsplit(text).netloc.rpartition("@")[2].split(",")
    except ValueError:
        addresses = ["["]
    if not all(re.fullmatch(r"(\[[^][]+\]|[^][:]*)(:\d*)?", address) for address in addresses):
        raise ConfigError(
            f"{place}: not a URL; check its ports and brackets. It is not shown, because it may contain a secret."
        )
    return text


_OTHER_SCHEMES = {
    "redis": (("redis", "rediss"), "a Redis server, such as redis://localhost:6379/0"),
    "amqp": (("amqp", "amqps"), "an AMQP broker, such as amqp://localhost:5672"),
    "tcp": (("tcp",), "a server, such as tcp://localhost:9092"),
}


def service_url(kind: Kind, text: str, place: str) -> str:
    """Return the URL of a service of ``kind``, or ``disabled``; ``ConfigError`` starts with ``place``."""
    if text == DISABLED:
        return text
    if kind == "http":
        return http_url(text, place)
    if kind == "nats":
        return nats_url(text, place)
    if kind == "postgres":
        return database_url(text, place)
    schemes, example = _OTHER_SCHEMES[kind]
    _check_scheme(text, schemes, place, example)
    _check_credentials(text, place)
    parts = _split(text, place)
    if kind == "tcp" and parts.port is None:
        raise ConfigError(f"{place}: {_shown(text)!r} has no port.")
    return text.rstrip("/")


class Endpoint(NamedTuple):
    """Host and port of a connection, as results show it: ``example.org:443``, ``[::1]:8000``."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def endpoints(url: str, environ: Mapping[str, str] | None = None) -> tuple[Endpoint, ...]:
    """Return the hosts and ports that clients use for ``url``; several if a DSN has several hosts.

    The host of a DSN without one is in its query or in ``PGHOST``, or else it is this machine.
    """
    parts = urlsplit(url)
    addresses = [each for each in parts.netloc.rpartition("@")[2].split(",") if each]
    default = _PORTS.get(parts.scheme.lower(), _DSN_PORT)
    if parts.scheme.lower() in _DSN_SCHEMES:
        environ = os.environ if environ is None else environ
        given = parse_qs(parts.query)
        default = _number(environ.get("PGPORT", ""), _DSN_PORT)
        if not addresses:
            ports = given.get("port", [""])[-1].split(",")
            addresses = (given.get("host", [""])[-1] or environ.get("PGHOST") or "localhost").split(",")
            if len(ports) == len(addresses) > 1:
                return tuple(
                    _endpoint(each, _number(port, default)) for each, port in zip(addresses, ports, strict=True)
                )
            default = _number(ports[0], default)
    return tuple(_endpoint(each, default) for each in addresses)


def endpoint_of(address: str) -> Endpoint:
    """Return an :class:`Endpoint` from its text."""
    return _endpoint(address, 0)


def hosts_in(url: str, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the host names that clients use for ``url``, in lower case."""
    return tuple(each.host for each in endpoints(url, environ) if each.host)


def host_pattern(text: str, place: str) -> str:
    """Return a host name, which may begin with ``*.``; ``ConfigError`` starts with ``place``."""
    if not re.fullmatch(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|[0-9A-Fa-f:]+", text):
        raise ConfigError(
            f"{place}: {_shown(text)!r} is not a host name; write it without scheme, port and path, and '*' only as the first label."
        )
    return text


def matches(host: str, patterns: Iterable[str]) -> bool:
    """Return whether ``host`` matches one of ``patterns``, where ``*.`` matches any labels."""
    return any(
        host.endswith(pattern[1:].lower()) if pattern.startswith("*.") else host == pattern.lower()
        for pattern in patterns
    )


def patterns_of(host: str) -> tuple[str, ...]:
    """Return all patterns in lower case that ``host`` matches, see :func:`matches`.

    >>> patterns_of("api.example.org")
    ('api.example.org', '*.example.org', '*.org')
    """
    return (host, *(f"*{host[at:]}" for at, character in enumerate(host) if character == "."))


def is_loopback(host: str | None) -> bool:
    """Return whether ``host`` is this machine, in any spelling: ``LocalHost.``, ``127.1``, ``0x7f000001``, ``[::1]``.

    Unspecified addresses (``0.0.0.0``, ``::``) count too. Does not resolve names.
    """
    name = _canonical(host or "")
    if name in _LOOPBACK_NAMES or name.endswith(".localhost"):
        return True
    address = _ip_address(name)
    return address is not None and (address.is_loopback or address.is_unspecified)


def is_private(host: str | None) -> bool:
    """Return whether ``host`` is unreachable from outside of this machine or of the services' network."""
    name = _canonical(host or "")
    address = _ip_address(name)
    if address is not None:
        return address.is_private or is_loopback(name)
    return "." not in name or name.endswith(_PRIVATE_ENDS) or is_loopback(name)


def is_unnamed(host: str) -> bool:
    """Return whether ``host`` is an IP address of another machine, which nothing in it assigns to an environment."""
    return _ip_address(_canonical(host)) is not None and not is_loopback(host)


def names_of(host: str) -> tuple[str, ...]:
    """Return ``host``, and the public name of the app on Fly if it is a private one.

    >>> names_of("iad.orders.internal")
    ('iad.orders.internal', 'orders.fly.dev')
    """
    *_, app, domain = ("", "", *host.split("."))
    return (host, f"{app}.{FLY_DOMAIN}") if app and f".{domain}" in _FLY_PRIVATE else (host,)


def identity_of(url: str, environ: Mapping[str, str]) -> tuple[object, ...]:
    """Return what identifies an address. Environments may share a server with different users and paths."""
    parts = urlsplit(url)
    ends = ((is_loopback(end.host) or end.host, end.port) for end in endpoints(url, environ))
    return parts.username or "", *ends, parts.path.rstrip("/")


def host_of(url: str) -> str:
    """Return the host name in ``url`` as written, or an empty string."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _endpoint(text: str, default: int) -> Endpoint:
    found = re.fullmatch(r"(\[[^]]*\]|[^:]*)(?::(\d*))?", text)
    host, port = (found[1], found[2]) if found else (text, "")
    # A folder of sockets is not a host name.
    return Endpoint(host if host.startswith("/") else _canonical(host), _number(port or "", default))


def _number(text: str, default: int) -> int:
    return int(text) if text.isdecimal() else default


def _canonical(host: str) -> str:
    """Return ``host`` as clients resolve it: lower case, decoded, without brackets and final dot."""
    name = unquote(host).strip("[]")
    if not name.isascii():
        try:
            name = name.encode("idna").decode()
        except UnicodeError:
            return name.lower()
    return name.rstrip(".").lower()


def _ip_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return ``name`` as an IP address, in any notation that sockets accept (127.0.0.1, 127.1, 0x7f000001)."""
    # Imported here, because only code that connects needs it.
    import socket

    try:
        return ipaddress.IPv4Address(socket.inet_aton(name))
    except (OSError, ValueError):
        pass
    try:
        address = ipaddress.IPv6Address(name)
    except ValueError:
        return None
    return address.ipv4_mapped or address


def _check_scheme(text: str, schemes: tuple[str, ...], place: str, example: str) -> None:
    scheme, separator, _ = text.partition("://")
    plain, plus, driver = scheme.lower().partition("+")
    if separator and plus and plain in schemes and driver.isidentifier():
        raise ConfigError(
            f"{place}: {scheme}:// names a driver, which only SQLAlchemy supports; did you mean {plain}://?"
        )
    if not separator or scheme.lower() not in schemes:
        raise ConfigError(f"{place}: not the URL of {example}.")


def _check_credentials(text: str, place: str) -> None:
    """Refuse a password with separators in it, because a part of it would be shown as the host."""
    address = text.partition("://")[2]
    authority = re.split("[/?#]", address, maxsplit=1)[0]
    rest = address[len(authority) :]
    path = rest.partition("?")[0]
    is_ambiguous = authority.count("@") + path.count("@") > 1 or ("@" in rest and "@" not in authority)
    if is_ambiguous or re.search(r"\s", address.rpartition("@")[0]):
        raise ConfigError(
            f"{place}: not a URL; write '@', '/', '?', '#' and spaces in user and password as %40, %2F, %3F, %23 and %20. "
            "It is not shown, because it may contain a secret."
        )


def _split(text: str, place: str) -> SplitResult:
    shown = _shown(text)
    if re.search(r"[\s\x00-\x1f\x7f]", text):
        raise ConfigError(f"{place}: {shown!r} contains a space or a control character.")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        # The message of the parser could show a password as the port.
        raise ConfigError(f"{place}: {shown!r} is not a URL; check its port and brackets.") from None
    if not host:
        raise ConfigError(f"{place}: {shown!r} has no host.")
    if port == 0:
        raise ConfigError(f"{place}: {shown!r}: 0 is not a valid port.")
    return parts


def _shown(text: str) -> str:
    """Return ``text`` with anything that could be credentials masked, even in a malformed URL."""
    # The first separator, because a password may contain another one.
    start = text.find("://") + len("://") if "://" in text else 0
    scheme, (credentials, at, address) = text[:start], text[start:].rpartition("@")
    return f"{scheme}{MASK}@{address}" if at and credentials else text
