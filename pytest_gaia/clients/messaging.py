"""The messaging client: publish, request, listen, with the platform's payloads decoded."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from pytest_gaia.clients.events import Event, EventLog
from pytest_gaia.clients.messages import MessageLog
from pytest_gaia.clients.payloads import decode, encode
from pytest_gaia.clients.redaction import Redactor
from pytest_gaia.clients.statements import unrecorded
from pytest_gaia.clients.tracebacks import hide
from pytest_gaia.errors import NotApplicable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pytest_gaia.clients.broker import Broker
    from pytest_gaia.clients.exchanges import Message
    from pytest_gaia.clients.guard import WriteGuard
    from pytest_gaia.clients.jetstream import JetStream
    from pytest_gaia.config.environment import Environment

__tracebackhide__ = hide

CLIENT_NAME = "pytest-gaia"


class Messaging:
    """A connection to the environment's NATS broker, made by :meth:`connect`."""

    def __init__(
        self,
        environment: Environment,
        guard: WriteGuard,
        broker: Broker,
        recorder: Callable[[Message], None] = unrecorded,
        redactor: Redactor | None = None,
    ) -> None:
        self._environment = environment
        self._guard = guard
        self._broker = broker
        self._redactor = redactor or Redactor.of(environment)
        self._log = MessageLog(recorder, self._redactor)

    @classmethod
    async def connect(
        cls,
        environment: Environment,
        guard: WriteGuard,
        *,
        name: str = CLIENT_NAME,
        recorder: Callable[[Message], None] = unrecorded,
        redactor: Redactor | None = None,
    ) -> Messaging:
        """Connect under ``name``; ``recorder`` is told of each message.

        Raises ``NotApplicable`` where the environment has no broker (nothing is dialled then), and ``Unreachable``
        within the environment's ``connect`` timeout where the broker does not answer.
        """
        if not environment.has_nats:
            raise NotApplicable(_no_broker(environment))
        # Imported here: an environment without a broker does not pay for the library.
        from pytest_gaia.clients.broker import Broker

        broker = Broker(environment, name)
        await broker.open()
        return cls(environment, guard, broker, recorder, redactor)

    async def publish(self, subject: str, payload: Any = None, *, headers: dict[str, str] | None = None) -> None:
        """Publish and wait until the broker has taken it.

        ``payload`` goes out as it is where it is bytes, encoded where it is text, and as JSON otherwise. Raises
        ``WriteRefused`` outside ``gaia.test.>`` unless writing is permitted, ``Unreachable`` where the broker is away.
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

        Raises ``WriteRefused`` like :meth:`publish`, ``Unreachable`` where nobody answers, else ``DeadlineExceeded``.
        """
        self._guard.check_publish(subject)
        body = encode(payload)
        self._broker.enter()
        with self._log.sending(subject, body):
            reply = await self._broker.request(subject, body, timeout, headers)
        self._log.received(reply.subject, reply.data)
        return Event(reply.subject, decode(reply.data), reply.data)

    @contextlib.asynccontextmanager
    async def listening(self, *subjects: str) -> AsyncIterator[EventLog]:
        """Listen on the subjects (all of them where none is given) while the context lasts.

        Everything published after entering is seen. Leaving unsubscribes.
        """
        wanted = subjects or (">",)
        log = EventLog(wanted, self._redactor.shown)

        def take(subject: str, payload: bytes) -> None:
            self._log.received(subject, payload)
            log.add(subject, payload)

        async with self._broker.subscription(wanted, take, log.broken):
            yield log

    def jetstream(self) -> JetStream:
        """Return JetStream on this connection."""
        from pytest_gaia.clients.jetstream import JetStream

        return JetStream(self._broker, self._guard, self._log)

    async def aclose(self) -> None:
        """Drain and close the connection; closes at once where the broker is away."""
        await self._broker.aclose()

    def __repr__(self) -> str:
        return f"<Messaging of {self._environment.name}>"


def _no_broker(environment: Environment) -> str:
    source = environment.sources.get("nats")
    known = f"nats is {environment.nats!r}" if environment.nats else "no NATS URL is known"
    return f"{environment.label} has no broker: {known}{f' ({source})' if source else ''}"
