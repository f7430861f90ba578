"""The clients of all services of one environment, and the routes to HTTP services without a URL of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from pytest_gaia.clients.exchanges import Exchange, Message, Statement, new_trace_id, unrecorded
from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.http._exchange import Link
from pytest_gaia.clients.http._transport import Transport
from pytest_gaia.clients.http.client import HttpClient
from pytest_gaia.clients.known_secrets import redactor_of
from pytest_gaia.clients.limits import ServiceLimits
from pytest_gaia.clients.reasons import absent
from pytest_gaia.clients.wire import HomeLoop
from pytest_gaia.config.environment import Environment
from pytest_gaia.errors import NotApplicable, NotSent, nearest
from pytest_gaia.secrets.redaction import Redactor

if TYPE_CHECKING:
    # Each of them loads its library.
    from pytest_gaia.clients.broker.messaging import Messaging
    from pytest_gaia.clients.database.client import Database
    from pytest_gaia.clients.redis import RedisClient


class ClientSet:
    """One client for each service; those of one base URL share connections. Connections are opened lazily.

    Every method for a service raises ``NotApplicable`` if the environment does not have it.
    """

    def __init__(
        self,
        environment: Environment,
        guard: WriteGuard,
        recorder: Callable[[Exchange], None] = unrecorded,
        redactor: Redactor | None = None,
        *,
        messages: Callable[[Message], None] = unrecorded,
        statements: Callable[[Statement], None] = unrecorded,
        not_sent: Callable[[NotSent], None] = unrecorded,
        limits: dict[str, ServiceLimits] | None = None,
        require: Callable[[Iterable[str]], None] = unrecorded,
        trace_id: Callable[[Callable[[str], bool]], str] = new_trace_id,
    ) -> None:
        """``recorder`` gets each HTTP exchange, ``messages`` those of NATS, ``statements`` SQL and Redis commands.

        ``not_sent`` gets the error of each HTTP request that was not sent. ``limits`` receives the limits of each service.
        ``require`` gets the names of the services whose client is requested, and can refuse it by an error. ``trace_id``
        returns the trace ID of a request, see :func:`~pytest_gaia.clients.exchanges.new_trace_id`.
        """
        self._environment = environment
        self._guard = guard
        self._recorder = recorder
        self._redactor = redactor or redactor_of(environment)
        self._messages = messages
        self._statements = statements
        self._clients: dict[str, HttpClient] = {}
        self._messaging: dict[str, Messaging] = {}
        self._databases: dict[str, Database] = {}
        self._redis: dict[str, RedisClient] = {}
        self._transports: dict[str, Transport] = {}
        self._not_sent = not_sent
        self._require = require
        self._trace_id = trace_id
        self._limits = {} if limits is None else limits
        self._home = HomeLoop("HTTP")

    @property
    def environment(self) -> Environment:
        """The environment of the services."""
        return self._environment

    def http(self, service: str) -> HttpClient:
        """Return the client of a service.

        A service without a URL of its own is reached through the one in ``via``, if that has a route. Raises
        ``ValueError`` for an unknown service.
        """
        self._require([service])
        if service not in self._clients:
            link = self._link(service)
            self._clients[service] = HttpClient(link, self._environment.credentials_of(link.receiver))
        return self._clients[service]

    def messaging(self, service: str) -> Messaging:
        """Return the client of a NATS server. It connects at its first use."""
        self._require([service])
        if service not in self._messaging:
            from pytest_gaia.clients.broker.messaging import Messaging

            self._messaging[service] = Messaging.of(
                self._environment, service, self._guard, recorder=self._messages, redactor=self._redactor
            )
        return self._messaging[service]

    def database(self, service: str) -> Database:
        """Return the PostgreSQL database of a service."""
        self._require([service])
        if service not in self._databases:
            from pytest_gaia.clients.database.client import Database

            self._databases[service] = Database(
                self._environment, service, self._guard, self._statements, self._redactor
            )
        return self._databases[service]

    def redis(self, service: str) -> RedisClient:
        """Return the client of a Redis server. It connects at its first use."""
        self._require([service])
        if service not in self._redis:
            from pytest_gaia.clients.redis import RedisClient

            self._redis[service] = RedisClient(
                self._environment, service, self._guard, self._statements, self._redactor
            )
        return self._redis[service]

    async def aclose(self) -> None:
        """Close every connection."""
        groups = self._transports, self._messaging, self._databases, self._redis
        for opened in [each for group in groups for each in group.values()]:
            await opened.aclose()

    def _link(self, service: str) -> Link:
        environment = self._environment
        platform = environment.platform
        if service not in platform.http:
            raise ValueError(f"{service} is not an HTTP service: {nearest(service, platform.http)}")
        reason = absent(environment, service)
        if reason is not None:
            raise NotApplicable(reason)
        via = None if service in environment.urls else platform[service].via
        base_url = environment.urls[via or service]
        return Link(
            service=service,
            environment=environment,
            base_url=base_url,
            guard=self._guard,
            redactor=self._redactor,
            recorder=self._recorder,
            transport=self._transport(base_url),
            limits=self._limits_of(via or service),
            not_sent=self._not_sent,
            timeouts=environment.timeouts_of(service),
            via=via or "direct",
            route_of=_own_route if via is None else partial(_route_through, via, service, environment),
            trace_id=self._trace_id,
        )

    def _transport(self, base_url: str) -> Transport:
        if base_url not in self._transports:
            self._transports[base_url] = Transport(base_url, home=self._home)
        return self._transports[base_url]

    def _limits_of(self, service: str) -> ServiceLimits:
        if service not in self._limits:
            environment = self._environment
            self._limits[service] = ServiceLimits(
                service,
                most=environment.platform[service].max_in_flight,
                concurrency=environment.concurrency,
                response=environment.timeouts_of(service).response,
            )
        return self._limits[service]


def _own_route(method: str, path: str) -> str:
    del method
    return path


def _route_through(via: str, service: str, environment: Environment, method: str, path: str) -> str:
    route = environment.platform.route(service, path)
    if route is None:
        raise NotApplicable(
            f"{service} has no URL of its own in {environment.label}, and {via} has no route for {method} {path}"
        )
    return route
