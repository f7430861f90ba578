"""Server-sent events: decode a stream by the HTML standard, and iterate over its events."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from pytest_gaia.clients._payloads import from_json
from pytest_gaia.clients.http._exchange import Attempt
from pytest_gaia.clients.http.responses import Headers, unexpected
from pytest_gaia.clients.reasons import hide

__tracebackhide__ = hide


class EventStream:
    """A stream of server-sent events: ``async for event in events``.

    Iteration ends with the stream. It raises ``DeadlineExceeded`` after the time limit for the whole stream, and
    ``Unreachable`` if the connection breaks; ``seen`` then holds the events so far.
    """

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._decoder = Decoder()
        self._ready: deque[ServerSentEvent] = deque()
        self._seen: list[ServerSentEvent] = []
        self.status = attempt.incoming.status
        self.headers = Headers(attempt.incoming.headers)

    @property
    def seen(self) -> tuple[ServerSentEvent, ...]:
        """The events so far."""
        return tuple(self._seen)

    def __aiter__(self) -> AsyncIterator[ServerSentEvent]:
        return self

    async def __anext__(self) -> ServerSentEvent:
        while not self._ready:
            piece = await self._attempt.chunk()
            if piece is None:
                raise StopAsyncIteration
            self._ready.extend(self._decoder.feed(piece))
        self._seen.append(self._ready.popleft())
        return self._seen[-1]

    async def collect(self) -> tuple[ServerSentEvent, ...]:
        """Read to the end and return all events."""
        async for _ in self:
            pass
        return self.seen


async def require_events(attempt: Attempt) -> None:
    """Raise ``UnexpectedResponse`` with the whole exchange if the response is not a stream of events."""
    status, kind = attempt.incoming.status, Headers(attempt.incoming.headers).get("content-type", "nothing")
    if status == 200 and kind.startswith("text/event-stream"):
        return
    await attempt.body()
    raise unexpected(attempt.finish(), f"returned {status} with {kind}, expected 200 with text/event-stream")


DONE = "[DONE]"
"""the data of the last event of a stream of the platform"""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event. ``data`` is decoded JSON, or the text itself if it is not JSON, such as ``[DONE]``."""

    data: Any
    text: str
    """the data as text"""
    name: str = "message"
    """the ``event`` field"""
    id: str | None = None

    @property
    def type(self) -> str | None:
        """The ``type`` field of the data, or None."""
        kind = self.data.get("type") if isinstance(self.data, dict) else None
        return kind if isinstance(kind, str) else None


class Decoder:
    """Decodes a stream from pieces of any length into complete events.

    Text at the end without a blank line after it is not an event: the stream was truncated.
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8-sig")(errors="replace").decode
        self._rest: list[str] = []
        """pieces of an incomplete line, which may be long"""
        self._is_held = False
        self._data: list[str] = []
        self._name = ""
        self._id: str | None = None

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Return the events that ``piece`` completes."""
        events = (self._line(line) for line in self._lines(self._decode(piece)))
        return [event for event in events if event is not None]

    def _lines(self, text: str) -> list[str]:
        # A carriage return at the end may be the first half of a line break.
        text = f"\r{text}" if self._is_held else text
        self._is_held = text.endswith("\r")
        first, *others = text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest.append(first)
        if not others:
            return []
        lines = ["".join(self._rest), *others]
        self._rest = [lines.pop()]
        return lines

    def _line(self, line: str) -> ServerSentEvent | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        data, name = self._data, self._name or "message"
        self._data, self._name = [], ""
        if not data:
            return None
        text = "\n".join(data)
        return ServerSentEvent(_decoded(text), text, name, self._id)


def _decoded(text: str) -> Any:
    try:
        return from_json(text)
    except ValueError:
        return text
