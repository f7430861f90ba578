"""Streams of server-sent events: from bytes to events, as the HTML standard reads them, and what a check sees of them."""

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
    """Events as they come: ``async for event in events``.

    Reading ends with the stream. It raises ``DeadlineExceeded`` when the time for the whole stream is up and
    ``Unreachable`` when the connection breaks; ``seen`` then holds the events until that point.
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
        """The events that were read so far."""
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
    """Raise ``UnexpectedResponse`` with the whole exchange for an answer that is no stream of events."""
    status, kind = attempt.incoming.status, Headers(attempt.incoming.headers).get("content-type", "nothing")
    if status == 200 and kind.startswith("text/event-stream"):
        return
    await attempt.body()
    raise unexpected(attempt.finish(), f"returned {status} with {kind}, expected 200 with text/event-stream")


DONE = "[DONE]"
"""The literal by which the platform ends a stream."""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event. ``data`` is decoded JSON where it is JSON, else the text as it came, such as ``[DONE]``."""

    data: Any
    text: str
    """the data as it came"""
    name: str = "message"
    """the ``event`` field"""
    id: str | None = None

    @property
    def type(self) -> str | None:
        """The ``type`` field of the data, or None where there is none."""
        kind = self.data.get("type") if isinstance(self.data, dict) else None
        return kind if isinstance(kind, str) else None


class Decoder:
    """Takes a stream piece by piece, cut anywhere, and gives the events that are complete.

    An event at the end that no blank line follows is not an event: the stream was cut.
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8-sig")(errors="replace").decode
        self._rest: list[str] = []
        """the line that has begun, piece by piece: it may be long"""
        self._is_held = False
        self._data: list[str] = []
        self._name = ""
        self._id: str | None = None

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Return the events that ``piece`` completes."""
        events = (self._line(line) for line in self._lines(self._decode(piece)))
        return [event for event in events if event is not None]

    def _lines(self, text: str) -> list[str]:
        # A carriage return at the end may be half of a line end.
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
