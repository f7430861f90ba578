"""The HTTP clients of one environment, made when they are asked for."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from pytest_gaia.clients.http import HttpClient
from pytest_gaia.clients.link import Link
from pytest_gaia.clients.redaction import Redactor
from pytest_gaia.clients.routes import through_gateway
from pytest_gaia.clients.transport import Transport
from pytest_gaia.clients.wire import HomeLoop
from pytest_gaia.config.platform import HTTP_SERVICES
from pytest_gaia.errors import NotApplicable, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.clients.exchanges import Exchange
    from pytest_gaia.clients.guard import WriteGuard
    from pytest_gaia.config.environment import Environment


def _unrecorded(_: Exchange) -> None:
    """Drop the exchange: the client still remembers the latest."""


class ClientSet:
    """One client for each HTTP service, one connection pool for each base URL. Nothing connects before a request."""

    def __init__(
        self,
        environment: Environment,
        guard: WriteGuard,
        recorder: Callable[[Exchange], None] = _unrecorded,
        redactor: Redactor | None = None,
    ) -> None:
        self._environment = environment
        self._guard = guard
        self._recorder = recorder
        self._redactor = redactor or Redactor.of(environment)
        self._clients: dict[str, HttpClient] = {}
        self._transports: dict[str, Transport] = {}
        self._home = HomeLoop("HTTP")

    def http(self, service: str) -> HttpClient:
        """Return the client of a service.

        A service without a URL of its own is reached through the gateway, as far as the gateway has routes to it.
        Raises ``NotApplicable`` where the environment does not run the service, ``ValueError`` for no service at all.
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
            raise ValueError(f"{service} is no HTTP service: {nearest(service, HTTP_SERVICES)}")
        own = self._environment.urls.get(service)
        base_url = own or self._environment.urls.get("gateway")
        name = self._environment.label
        if service not in self._environment.services:
            raise NotApplicable(f"{name} ({self._environment.topology}) runs no {service} service")
        if base_url is None:
            raise NotApplicable(f"{name} has a URL neither for {service} nor for the gateway")
        return Link(
            service=service,
            environment=self._environment,
            base_url=base_url,
            guard=self._guard,
            redactor=self._redactor,
            recorder=self._recorder,
            transport=self._transport(base_url),
            via="direct" if own else "gateway",
            route_of=_own_route if own else functools.partial(_gateway_route, service, name),
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
