"""Responses: a complete one, with checks for its status and its fields, and a stream of server-sent events."""

from __future__ import annotations

import codecs
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_gaia.clients.exchanges import Exchange, from_json, transcript
from pytest_gaia.clients.http._exchange import Attempt
from pytest_gaia.clients.reasons import hide
from pytest_gaia.errors import UnexpectedResponse

__tracebackhide__ = hide

_JSON_TYPES = ("application/json", "text/json")


class Headers(Mapping[str, str]):
    """Headers of a response, by case-insensitive name. Several values of one name are joined with a comma."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            key = name.lower()
            self._values[key] = f"{self._values[key]}, {value}" if key in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Headers {', '.join(self._values)}>"


class Response:
    """The response of a service.

    ``exchange`` is the masked HTTP exchange, which messages show. ``text``, ``body`` and ``json()`` are not masked.
    A run warns if a test reads nothing of a response.
    """

    __slots__ = ("_body", "_exchange", "_expected", "_headers", "_may_fail", "_status", "_text", "_unread")

    def __init__(
        self,
        status: int,
        headers: Headers,
        body: bytes,
        text: str,
        exchange: Exchange,
        unread: dict[int, Exchange] | None = None,
    ) -> None:
        """``unread`` contains the exchange until something is read of the response."""
        self._status = status
        self._headers = headers
        self._body = body
        self._text = text
        self._exchange = exchange
        self._unread = unread
        self._may_fail = False
        self._expected = False

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.pop(id(self._exchange), None)
            self._unread = None

    @property
    def status(self) -> int:
        """The status code."""
        self._read()
        return self._status

    @property
    def headers(self) -> Headers:
        """The headers."""
        self._read()
        return self._headers

    @property
    def body(self) -> bytes:
        """The body."""
        self._read()
        return self._body

    @property
    def text(self) -> str:
        """The body as text, decoded with the charset of the response."""
        self._read()
        return self._text

    @property
    def exchange(self) -> Exchange:
        """The masked HTTP exchange."""
        self._read()
        return self._exchange

    @property
    def elapsed(self) -> float:
        """Seconds until the response was complete."""
        return self._exchange.elapsed

    @contextlib.contextmanager
    def may_fail(self, reason: str) -> Iterator[None]:
        """Allow expectations about this response to fail: ``with response.may_fail("the cache may be empty"):``.

        The block ends at the first one that fails, and the test goes on after it. Anywhere else, a test fails if it
        catches such an error. ``reason`` is for readers. Raises ``ValueError`` without a reason.
        """
        if not reason.strip():
            raise ValueError("may_fail() needs a reason, such as may_fail('the cache may be empty')")
        before, self._may_fail = self._may_fail, True
        try:
            yield
        except UnexpectedResponse as error:
            if error.exchange is not self._exchange:
                raise
        finally:
            self._may_fail = before

    def json(self, *, strict: bool = True, any_type: bool = False) -> Any:
        """Return the decoded JSON body. Raises :class:`UnexpectedResponse` if it is not JSON.

        ``strict=False`` accepts what Python's ``json`` accepts: NaN and infinite numbers, a key that occurs twice (the last
        value counts), lone surrogates, any depth and number of digits, and UTF-16. ``any_type=True`` accepts any content type.
        """
        if not any_type:
            self._check_type()
        try:
            return from_json(self.body, strict=strict)
        except ValueError as error:
            hint = "; json(strict=False) accepts it" if strict and _is_json(self.body) else ""
            raise self.unexpected(f"returned something that is not JSON ({error}){hint}") from None

    def _check_type(self) -> None:
        name = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if name not in _JSON_TYPES and not name.endswith("+json"):
            found = f"with the content type {name!r}" if name else "without a content type"
            raise self.unexpected(f"responded {found}, expected application/json; json(any_type=True) accepts it")

    def expect(self, *statuses: int) -> Response:
        """Return self if the status is one of ``statuses`` (default: any 2xx).

        Raises :class:`UnexpectedResponse` with the whole exchange.
        """
        if self.status in statuses or (not statuses and 200 <= self.status < 300):
            self._expected = True
            return self
        wanted = " or ".join(str(status) for status in statuses) or "2xx"
        raise self.unexpected(f"returned {self.status}, expected {wanted}")

    def field(self, path: str) -> Any:
        """Return one value of a JSON response by its dotted path. A number selects a list item: ``providers.0.id``.

        The body is read as by :meth:`json`. Raises :class:`UnexpectedResponse` with the part of the path that exists and the fields found there.
        """
        value, walked = self.json(), "the response"
        for name in path.split("."):
            found = _step(value, name)
            if found is None:
                raise self.unexpected(f"has no field {path!r}: {walked} {_describe(value)}")
            value, walked = found[0], name if walked == "the response" else f"{walked}.{name}"
        return value

    def __bool__(self) -> bool:
        """Raise ``TypeError``, unless its status was as expected: every response would be true."""
        __tracebackhide__ = True
        if self._expected:
            # Of `assert response.expect(200)`.
            return True
        raise TypeError(
            f"{self!r} has no truth value: every response would be true. Use .expect(200), or compare .status"
        )

    def unexpected(self, problem: str) -> UnexpectedResponse:
        """Return the error for this response. ``problem`` follows the name of the service: ``has no items``."""
        self._read()
        error = unexpected(self._exchange, problem)
        error.accepted = self._may_fail
        return error

    def __repr__(self) -> str:
        request = self._exchange.request
        return f"<Response {self._status} to {request.method} {request.url}>"


Answer = Response
"""old name of :class:`Response`"""


def unexpected(exchange: Exchange, problem: str) -> UnexpectedResponse:
    """Return an error that contains the whole exchange. ``problem`` follows the name of the service."""
    return UnexpectedResponse(f"{exchange.service} {problem}{_hint(exchange)}\n\n{transcript(exchange)}", exchange)


def _hint(exchange: Exchange) -> str:
    """Return a hint for a 401 to a request without credentials: probably none are configured."""
    sent = {name.lower() for name in exchange.request.headers}
    if exchange.status != 401 or sent & {"authorization", "x-api-key"}:
        return ""
    return (
        "\nThe request had no credentials. Unless that is intended, configure an API key: "
        "GAIA_<ENVIRONMENT>_API_KEY, GAIA_API_KEY, or a line in .env."
    )


def _is_json(content: bytes) -> bool:
    try:
        from_json(content, strict=False)
    except ValueError:
        return False
    return True


def _step(value: Any, name: str) -> tuple[Any] | None:
    if isinstance(value, dict) and name in value:
        return (value[name],)
    if isinstance(value, list) and name.lstrip("-").isdigit() and -len(value) <= int(name) < len(value):
        return (value[int(name)],)
    return None


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        return f"has {', '.join(map(str, value)) or 'no fields'}"
    if isinstance(value, list):
        return f"is a list of {len(value)}"
    return f"is {'null' if value is None else type(value).__name__}"


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
        attempt.responded()
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
