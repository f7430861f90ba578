"""The Redis client: one method for every command, with a write guard and recording; the only module that imports redis."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_gaia.clients.exchanges import Statement, unrecorded
from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.known_secrets import redactor_of
from pytest_gaia.clients.network import connecting
from pytest_gaia.clients.reasons import absent, hide, reason_of, remedy_of, url_variable
from pytest_gaia.clients.wire import HomeLoop
from pytest_gaia.config.environment import Environment
from pytest_gaia.errors import ConfigError, DeadlineExceeded, GaiaError, NotApplicable, ServiceError, Unreachable
from pytest_gaia.secrets.masks import mask_url
from pytest_gaia.secrets.redaction import Redactor
from pytest_gaia.wording import counted

if TYPE_CHECKING:
    import redis.asyncio

__tracebackhide__ = hide

Argument: TypeAlias = "str | bytes | int | float"

_OF_CONNECTIONS = frozenset(
    [
        "AUTH",
        "ASKING",
        "CLIENT",
        "DISCARD",
        "EXEC",
        "HELLO",
        "MONITOR",
        "MULTI",
        "PSUBSCRIBE",
        "PSYNC",
        "PUNSUBSCRIBE",
        "QUIT",
        "READONLY",
        "READWRITE",
        "RESET",
        "SELECT",
        "SSUBSCRIBE",
        "SUBSCRIBE",
        "SUNSUBSCRIBE",
        "SYNC",
        "UNSUBSCRIBE",
        "UNWATCH",
        "WATCH",
    ]
)
"""commands that change the connection, which the next test uses too"""


class RedisClient:
    """A Redis server of the environment: ``await redis.command("GET", "key")``. The first command connects."""

    def __init__(
        self,
        environment: Environment,
        service: str,
        guard: WriteGuard,
        recorder: Callable[[Statement], None] = unrecorded,
        redactor: Redactor | None = None,
    ) -> None:
        reason = absent(environment, service) or _without_library(service)
        if reason is not None:
            raise NotApplicable(reason)
        self._environment = environment
        self._service = service
        self._guard = guard
        self._recorder = recorder
        self._redactor = redactor or redactor_of(environment)
        self._timeouts = environment.timeouts_of(service)
        self._url = environment.url_of(service) or ""
        self._home = HomeLoop("Redis")
        self._client: redis.asyncio.Redis | None = None

    async def command(self, name: str, *arguments: Argument) -> Any:
        """Send a command and return its reply as redis-py does, with text for values that are UTF-8 and bytes for others.

        A command of two words is one name and an argument: ``command("OBJECT", "ENCODING", "key")``. Raises
        ``WriteRefused`` for a command that does not only read unless writes are permitted, ``ValueError`` for a command
        that changes the connection, ``ServiceError`` if the server refuses it, ``Unreachable`` or ``DeadlineExceeded``.
        """
        words = (*name.split(), *arguments)
        if not words or any(type(each) not in (str, bytes, int, float) for each in words):
            raise TypeError("a command is a name and arguments of type str, bytes, int or float")
        verb = str(words[0]).upper()
        if verb in _OF_CONNECTIONS:
            raise ValueError(f"{verb} changes the connection, which all tests share; use a client of your own for it")
        self._guard.check_redis(self._service, (verb, *(each for each in words[1:2] if isinstance(each, str))))
        self._home.enter()
        try:
            return _text(await self._recorded(verb, words[1:]))
        except GaiaError as error:
            raise error.with_traceback(None) from None

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _recorded(self, verb: str, arguments: tuple[Argument, ...]) -> Any:
        """Send a command, and record its name and the number of its arguments, never their values."""
        started, begun, failed = time.time(), time.perf_counter(), None
        try:
            return await self._sent(verb, arguments)
        except BaseException as error:
            failed = type(error).__name__
            raise
        finally:
            text = f"{self._service}: {verb} ({counted(len(arguments), 'argument')})"
            self._recorder(Statement(text, started, time.perf_counter() - begun, failed, "Redis"))

    async def _sent(self, verb: str, arguments: tuple[Argument, ...]) -> Any:
        from redis import exceptions

        # It has no annotations.
        execute: Any = self._opened().execute_command
        try:
            return await execute(verb, *arguments)
        except exceptions.AuthenticationError as error:
            raise self._unreachable(f"it rejects the credentials ({error})") from None
        except exceptions.TimeoutError as error:
            if str(error).startswith("Timeout connecting"):
                raise self._unreachable(f"no response within {self._timeouts.connect:g} s") from None
            seconds = self._timeouts.response
            raise DeadlineExceeded(f"{self._service} did not respond to {verb} within {seconds:g} s") from None
        except (exceptions.ConnectionError, OSError) as error:
            raise self._unreachable(reason_of(error), remedy_of(error)) from None
        except exceptions.RedisError as error:
            raise ServiceError(f"{self._service} refused {verb}: {self._redactor.shown(str(error))}") from None

    def _opened(self) -> redis.asyncio.Redis:
        if self._client is None:
            import redis.asyncio
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            options: dict[str, Any] = {
                "socket_connect_timeout": self._timeouts.connect,
                "socket_timeout": self._timeouts.response,
                # A repeated command may run twice.
                "retry": Retry(NoBackoff(), 0),
                "protocol": 2,
            }
            if self._url.startswith("rediss:") and (file := os.environ.get("SSL_CERT_FILE", "").strip()):
                options["ssl_ca_certs"] = file
            try:
                self._client = redis.asyncio.Redis.from_url(self._url, **options)
                pool = self._client.connection_pool
                pool.connection_class = _permitted(pool.connection_class, self._service)
            except ValueError as error:
                raise ConfigError(f"{self._source}: {self._redactor.shown(str(error))}") from None
        return self._client

    @property
    def _source(self) -> str:
        return self._environment.sources.get(f"urls.{self._service}", "default")

    def _unreachable(self, reason: str, remedy: str = "") -> Unreachable:
        variable = url_variable(self._environment, self._service)
        todo = (
            f"{remedy[0].upper()}{remedy[1:]}" if remedy else f"Start the server, or set another URL with {variable}."
        )
        return Unreachable(
            f"{self._service} is unreachable at {mask_url(self._url)}: {self._redactor.shown(reason)}.\n"
            f"Source of the URL: {self._source}. Environment: {self._environment.label}.\n"
            f"{todo}"
        )

    def __repr__(self) -> str:
        return f"<RedisClient {self._service} of {self._environment.name}>"


def _permitted(kind: Any, service: str) -> Any:
    """Return a class of connections that the network guard permits."""

    class Permitted(kind):  # type: ignore[misc]  # chosen by the URL
        async def _connect(self) -> None:
            with connecting(service):
                await super()._connect()

    return Permitted


def _without_library(service: str) -> str | None:
    import importlib.util

    if importlib.util.find_spec("redis") is not None:
        return None
    return f"the client of {service} needs the package redis: pip install 'pytest-gaia[redis]'"


def _text(reply: Any) -> Any:
    """Return a reply with bytes decoded that are UTF-8."""
    if isinstance(reply, bytes):
        try:
            return reply.decode()
        except UnicodeDecodeError:
            return reply
    if isinstance(reply, dict):
        return {_text(key): _text(value) for key, value in reply.items()}
    return type(reply)(map(_text, reply)) if type(reply) in (list, tuple, set) else reply
