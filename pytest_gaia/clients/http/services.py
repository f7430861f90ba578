"""The HTTP clients of one environment, and the gateway's routes to services without a URL of their own."""

import re
from collections.abc import Callable
from functools import cache, partial

from pytest_gaia.clients.exchanges import Exchange, unrecorded
from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.http._exchange import Link
from pytest_gaia.clients.http._transport import Transport
from pytest_gaia.clients.http.client import HttpClient
from pytest_gaia.clients.known_secrets import redactor_of
from pytest_gaia.clients.wire import HomeLoop
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import HTTP_SERVICES
from pytest_gaia.errors import NotApplicable, nearest
from pytest_gaia.secrets.redaction import Redactor


class ClientSet:
    """One client for each HTTP service, and one connection pool for each base URL. Connections are opened lazily."""

    def __init__(
        self,
        environment: Environment,
        guard: WriteGuard,
        recorder: Callable[[Exchange], None] = unrecorded,
        redactor: Redactor | None = None,
    ) -> None:
        self._environment = environment
        self._guard = guard
        self._recorder = recorder
        self._redactor = redactor or redactor_of(environment)
        self._clients: dict[str, HttpClient] = {}
        self._transports: dict[str, Transport] = {}
        self._home = HomeLoop("HTTP")

    def http(self, service: str) -> HttpClient:
        """Return the client of a service.

        A service without a URL of its own is reached through the gateway, if the gateway has a route. Raises
        ``NotApplicable`` if the environment does not run the service, ``ValueError`` for an unknown service.
        """
        if service not in self._clients:
            self._clients[service] = HttpClient(self._link(service), self._environment.identity)
        return self._clients[service]

    async def aclose(self) -> None:
        """Close every connection."""
        for transport in self._transports.values():
            await transport.aclose()

    def _link(self, service: str) -> Link:
        if service not in HTTP_SERVICES:
            raise ValueError(f"{service} is not an HTTP service: {nearest(service, HTTP_SERVICES)}")
        own = self._environment.urls.get(service)
        base_url = own or self._environment.urls.get("gateway")
        name = self._environment.label
        if service not in self._environment.services:
            raise NotApplicable(f"{name} ({self._environment.topology}) has no {service} service")
        if base_url is None:
            raise NotApplicable(f"{name} has no URL for {service} and none for the gateway")
        return Link(
            service=service,
            environment=self._environment,
            base_url=base_url,
            guard=self._guard,
            redactor=self._redactor,
            recorder=self._recorder,
            transport=self._transport(base_url),
            via="direct" if own else "gateway",
            route_of=_own_route if own else partial(_gateway_route, service, name),
        )

    def _transport(self, base_url: str) -> Transport:
        if base_url not in self._transports:
            self._transports[base_url] = Transport(base_url, home=self._home)
        return self._transports[base_url]


def _own_route(method: str, path: str) -> str:
    del method
    return path


def _gateway_route(service: str, environment: str, method: str, path: str) -> str:
    route = through_gateway(service, path)
    if route is None:
        raise NotApplicable(
            f"{service} has no URL of its own in {environment}, and the gateway has no route for {method} {path}"
        )
    return route


# A service's path → the gateway's. A name in braces matches one segment; literal paths take precedence.
_ROUTES: dict[str, dict[str, str]] = {
    "auth": {
        "/auth/validate": "/api/v1/auth/validate",
        "/auth/register": "/api/v1/auth/register",
        "/auth/login": "/api/v1/auth/login",
        "/auth/refresh": "/api/v1/auth/refresh",
    },
    "asset": {
        "/api/v1/assets": "/api/v1/assets",
        "/api/v1/assets/{asset_id}": "/api/v1/assets/{asset_id}",
    },
    "chat": {
        "/chat/": "/api/v1/chat",
        "/chat/status": "/api/v1/chat/status",
        "/chat/history": "/api/v1/chat/history",
        "/chat/reload-prompt": "/api/v1/chat/reload-prompt",
        "/api/v0.2/": "/api/v0.2/",
        "/api/v0.2/chat": "/api/v0.2/chat",
        "/api/v0.2/health": "/api/v0.2/health",
        "/api/v0.2/providers/": "/api/v0.2/providers",
        "/api/v0.2/providers/health": "/api/v0.2/providers/health",
        "/api/v0.2/providers/stats": "/api/v0.2/providers/stats",
        "/api/v0.2/providers/{provider}/models": "/api/v0.2/providers/{provider}/models",
        "/api/v0.2/models/": "/api/v0.2/models",
        "/api/v0.2/models/{model_id}": "/api/v0.2/models/{model_id}",
        "/api/v0.2/personas/": "/api/v0.2/personas",
    },
}

# Paths below these prefixes are the same on both sides.
_SAME: dict[str, tuple[str, ...]] = {
    "chat": (
        "/api/v0.2/chat/",
        "/api/v0.2/assets/pricing/",
        "/api/v0.2/usage/",
        "/api/v0.2/personas/",
        "/api/v0.2/performance/",
    ),
}

# The gateway would read the last segment as the id of an asset.
_NOT_FORWARDED = {"asset": frozenset({"/api/v1/assets/request"})}


def through_gateway(service: str, path: str) -> str | None:
    """Return the gateway's path for a path (or path template) of ``service``; None if there is no route.

    >>> through_gateway("auth", "/auth/validate")
    '/api/v1/auth/validate'
    >>> through_gateway("auth", "/status") is None
    True
    """
    if service == "gateway":
        return path
    bare, mark, rest = path.partition("?")
    route = _route(service, bare)
    return None if route is None else f"{route}{mark}{rest}"


def _route(service: str, path: str) -> str | None:
    if path in _NOT_FORWARDED.get(service, ()):
        return None
    written = _ROUTES.get(service, {})
    if path in written:
        return written[path]
    if path.startswith(_SAME.get(service, ())):
        return path
    for template, route in written.items():
        if "{" in template and (match := _pattern(template).fullmatch(path)):
            return route.format_map(match.groupdict())
    return None


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template)))
