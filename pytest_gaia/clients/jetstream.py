"""JetStream through the guard: streams of a check's own, publishing with an acknowledgement, reading."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from pytest_gaia.clients.events import Event
from pytest_gaia.clients.payloads import decode, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.js import JetStreamContext
    from nats.js.api import StreamInfo

    from pytest_gaia.clients.broker import Broker
    from pytest_gaia.clients.guard import WriteGuard
    from pytest_gaia.clients.messages import MessageLog


class JetStream:
    """JetStream of a :class:`Messaging`. Errors are those of ``Messaging``; what the server refuses is a ``ServiceError``."""

    def __init__(self, broker: Broker, guard: WriteGuard, log: MessageLog) -> None:
        self._broker = broker
        self._guard = guard
        self._log = log

    async def publish(self, subject: str, payload: Any = None) -> int:
        """Publish, wait until a stream has stored the message, and return its sequence number."""
        self._guard.check_publish(subject)
        body = encode(payload)
        self._broker.enter()
        with self._log.sending(subject, body):
            ack = await self._broker.jetstream(f"publishing on {subject}", lambda js: js.publish(subject, body))
        return ack.seq

    @contextlib.asynccontextmanager
    async def stream(self, name: str, *subjects: str) -> AsyncIterator[StreamInfo]:
        """Make a stream in memory for the time of the context, and delete it at the end, also after a failure.

        Making a stream changes the broker: ``WriteRefused`` unless writing is permitted.
        """
        self._guard.check_publish(f"$JS.API.STREAM.CREATE.{name}")

        async def add(js: JetStreamContext) -> StreamInfo:
            from nats.js.api import StorageType

            return await js.add_stream(name=name, subjects=list(subjects), storage=StorageType.MEMORY)

        made = await self._broker.jetstream(f"making the stream {name}", add)
        try:
            yield made
        finally:
            await self._broker.jetstream(f"deleting the stream {name}", lambda js: js.delete_stream(name))

    async def info(self, name: str) -> StreamInfo:
        """Return what the broker knows of a stream."""
        return await self._broker.jetstream(f"asking for the stream {name}", lambda js: js.stream_info(name))

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
