"""An event stream that is being read."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pytest_gaia.clients.answers import Headers, unexpected
from pytest_gaia.clients.sse import Decoder
from pytest_gaia.clients.tracebacks import hide
from pytest_gaia.clients.transport import Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pytest_gaia.clients.conversation import Conversation
    from pytest_gaia.clients.link import Link
    from pytest_gaia.clients.sse import ServerSentEvent

__tracebackhide__ = hide


class EventStream:
    """Events as they come: ``async for event in events``.

    Reading ends with the stream. It raises ``DeadlineExceeded`` when the time for the whole stream is up and
    ``Unreachable`` when the connection breaks; ``seen`` then holds the events until that point.
    """

    def __init__(self, link: Link, talk: Conversation) -> None:
        self._link = link
        self._talk = talk
        self._decoder = Decoder()
        self._ready: deque[ServerSentEvent] = deque()
        self._seen: list[ServerSentEvent] = []
        self.status = talk.incoming.status
        self.headers = Headers(talk.incoming.headers)

    @property
    def seen(self) -> tuple[ServerSentEvent, ...]:
        """The events that were read so far."""
        return tuple(self._seen)

    def __aiter__(self) -> AsyncIterator[ServerSentEvent]:
        return self

    async def __anext__(self) -> ServerSentEvent:
        while not self._ready:
            try:
                piece = await self._talk.chunk()
            except Fault as fault:
                raise self._link.failed(self._talk, fault) from None
            if piece is None:
                self._talk.finish()
                raise StopAsyncIteration
            self._ready.extend(self._decoder.feed(piece))
        self._seen.append(self._ready.popleft())
        return self._seen[-1]

    async def collect(self) -> tuple[ServerSentEvent, ...]:
        """Read to the end and return all events."""
        async for _ in self:
            pass
        return self.seen


async def require_events(link: Link, talk: Conversation) -> None:
    """Raise ``UnexpectedAnswer`` with the whole exchange for an answer that is no stream of events."""
    kind = Headers(talk.incoming.headers).get("content-type", "nothing")
    if talk.incoming.status == 200 and kind.startswith("text/event-stream"):
        return
    try:
        await talk.body()
    except Fault as fault:
        raise link.failed(talk, fault) from None
    problem = f"answered {talk.incoming.status} with {kind}, expected 200 with text/event-stream"
    raise unexpected(talk.finish(), problem)
