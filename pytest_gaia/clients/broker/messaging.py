"""The NATS client: publish, request, subscribe, JetStream; with a write guard and recording."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from pytest_gaia.clients.broker.events import Event, EventLog
from pytest_gaia.clients.exchanges import BODY_LIMIT, Message, decode, encode, unrecorded
from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.known_secrets import redactor_of
from pytest_gaia.clients.reasons import absent, hide
from pytest_gaia.config.environment import Environment
from pytest_gaia.errors import NotApplicable
from pytest_gaia.secrets.redaction import Redactor

if TYPE_CHECKING:
    # An environment without NATS saves the import of the library.
    from pytest_gaia.clients.broker._connection import Broker, Stream

__tracebackhide__ = hide

CLIENT_NAME = "pytest-gaia"


class Messaging:
    """A connection to a NATS server of the environment. Its first use opens it."""

    def __init__(
        self,
        environment: Environment,
        service: str,
        guard: WriteGuard,
        broker: Broker,
        recorder: Callable[[Message], None] = unrecorded,
        redactor: Redactor | None = None,
    ) -> None:
        self._environment = environment
        self._service = service
        self._guard = guard
        self._broker = broker
        self._redactor = redactor or redactor_of(environment)
        self._log = MessageLog(recorder, self._redactor)

    @classmethod
    def of(
        cls,
        environment: Environment,
        service: str,
        guard: WriteGuard,
        *,
        name: str = CLIENT_NAME,
        recorder: Callable[[Message], None] = unrecorded,
        redactor: Redactor | None = None,
    ) -> Messaging:
        """Return the client of ``service``, which connects under ``name`` and calls ``recorder`` with each message.

        Raises ``NotApplicable`` if the environment does not have the service.
        """
        reason = absent(environment, service)
        if reason is not None:
            raise NotApplicable(reason)
        from pytest_gaia.clients.broker._connection import Broker

        return cls(environment, service, guard, Broker(environment, service, name), recorder, redactor)

    async def open(self) -> Messaging:
        """Connect, and return the client. Raises ``Unreachable`` within the ``connect`` timeout."""
        await self._broker.open()
        return self

    async def publish(self, subject: str, payload: Any = None, *, headers: dict[str, str] | None = None) -> None:
        """Publish a message and wait until the server has accepted it.

        Bytes are sent unchanged, text as UTF-8, other values as JSON. Raises ``WriteRefused`` outside ``gaia.test.>``
        unless writes are permitted, and ``Unreachable``.
        """
        self._guard.check_publish(subject)
        body = encode(payload)
        self._broker.enter()
        with self._log.sending(subject, body):
            await self._broker.publish(subject, body, headers)

    async def request(
        self, subject: str, payload: Any = None, *, timeout: float = 5.0, headers: dict[str, str] | None = None
    ) -> Event:
        """Send a request and return the reply. ``timeout`` is in seconds.

        Raises ``WriteRefused`` like :meth:`publish`, ``Unreachable`` without a responder, and ``DeadlineExceeded``.
        """
        self._guard.check_publish(subject)
        body = encode(payload)
        self._broker.enter()
        with self._log.sending(subject, body):
            reply = await self._broker.request(subject, body, timeout, headers)
        self._log.received(reply.subject, reply.data)
        return Event(reply.subject, decode(reply.data), reply.data)

    @contextlib.asynccontextmanager
    async def subscribe(self, *subjects: str) -> AsyncIterator[EventLog]:
        """Subscribe to the subjects (default: all) during the context.

        The log receives everything that is published after entering. Leaving unsubscribes.
        """
        wanted = subjects or (">",)
        log = EventLog(wanted, self._redactor.shown)

        def take(subject: str, payload: bytes) -> None:
            self._log.received(subject, payload)
            log.add(subject, payload)

        async with self._broker.subscription(wanted, take, log.broken):
            yield log

    listening = subscribe
    """old name of :meth:`subscribe`"""

    def jetstream(self) -> JetStream:
        """Return JetStream on this connection."""
        return JetStream(self._broker, self._guard, self._log)

    async def aclose(self) -> None:
        """Drain and close the connection, or only close it if the server is unreachable."""
        await self._broker.aclose()

    def __repr__(self) -> str:
        return f"<Messaging {self._service} of {self._environment.name}>"


class JetStream:
    """JetStream of a :class:`Messaging`. Raises the errors of ``Messaging``, and ``ServiceError`` if the server refuses."""

    def __init__(self, broker: Broker, guard: WriteGuard, log: MessageLog) -> None:
        self._broker = broker
        self._guard = guard
        self._log = log

    async def publish(self, subject: str, payload: Any = None) -> int:
        """Publish a message, wait until a stream has stored it, and return its sequence number."""
        self._guard.check_publish(subject)
        body = encode(payload)
        self._broker.enter()
        with self._log.sending(subject, body):
            ack = await self._broker.jetstream(f"publishing on {subject}", lambda js: js.publish(subject, body))
        return ack.seq

    @contextlib.asynccontextmanager
    async def stream(self, name: str, *subjects: str) -> AsyncIterator[Stream]:
        """Create a stream in memory for the context, and delete it at the end, also after a failure.

        Raises ``WriteRefused`` unless writes are permitted, because a stream changes the server.
        """
        self._guard.check_publish(f"$JS.API.STREAM.CREATE.{name}")

        made = await self._broker.memory_stream(name, subjects)
        try:
            yield made
        finally:
            await self._broker.jetstream(f"deleting the stream {name}", lambda js: js.delete_stream(name))

    async def info(self, name: str) -> Stream:
        """Return configuration and state of a stream."""
        return await self._broker.jetstream(f"reading the stream {name}", lambda js: js.stream_info(name))

    async def get(self, stream: str, sequence: int) -> Event:
        """Return one stored message."""
        what = f"reading message {sequence} of the stream {stream}"
        return _event(await self._broker.jetstream(what, lambda js: js.get_msg(stream, seq=sequence)))

    async def last(self, stream: str, subject: str) -> Event:
        """Return the latest stored message on ``subject``."""
        what = f"reading the last message on {subject} of the stream {stream}"
        return _event(await self._broker.jetstream(what, lambda js: js.get_last_msg(stream, subject)))


def _event(message: Any) -> Event:
    raw = message.data or b""
    return Event(message.subject or "", decode(raw), raw)


class MessageLog:
    """Calls ``keep`` with a record of each message."""

    def __init__(self, keep: Callable[[Message], None], redactor: Redactor) -> None:
        self._keep = keep
        self._redactor = redactor

    @contextlib.contextmanager
    def sending(self, subject: str, payload: bytes) -> Iterator[None]:
        """Record one message that is sent in this context."""
        started = time.time()
        try:
            yield
        except BaseException as failure:
            self._keep(self._message("sent", subject, payload, started, type(failure).__name__))
            raise
        self._keep(self._message("sent", subject, payload, started))

    def received(self, subject: str, payload: bytes) -> None:
        """Record a received message."""
        self._keep(self._message("received", subject, payload, time.time()))

    def _message(
        self,
        direction: Literal["sent", "received"],
        subject: str,
        payload: bytes,
        when: float,
        error: str | None = None,
    ) -> Message:
        text = self._redactor.shown(payload.decode("utf-8", "replace"))
        return Message(direction, self._redactor.shown(subject), text[:BODY_LIMIT], when, error)
