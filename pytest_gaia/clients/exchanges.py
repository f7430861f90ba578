"""Frozen records of HTTP exchanges, SQL statements, Redis commands and NATS messages, and an exchange as text."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from pytest_gaia.clients._payloads import from_json
from pytest_gaia.printable import one_line, visible
from pytest_gaia.wording import counted


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request as it was sent, with masked headers and body."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str | None = None


@dataclass(frozen=True, slots=True)
class ReceivedResponse:
    """A response as it was received, masked. ``body`` is text, cut at ``BODY_LIMIT`` characters."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its result: either ``response`` or ``error`` is set, never both."""

    service: str
    """the requested service"""
    via: str
    """``direct``, or the service that forwards the request if this one has no URL of its own"""
    route: str
    """the path template, such as ``/api/v0.2/personas/{persona_id}``"""
    request: SentRequest
    response: ReceivedResponse | None
    error: str | None
    """why there is no response, such as ``unreachable: connection refused``"""
    started: float
    """seconds since the epoch"""
    elapsed: float
    """seconds until the response was complete"""
    attempt: int = 1

    @property
    def status(self) -> int | None:
        """The status of the response; None if there was none."""
        return self.response.status if self.response else None


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement or Redis command, without values.

    The text of SQL is masked and has placeholders; that of Redis is the command and the number of its arguments.
    """

    text: str
    started: float
    """seconds since the epoch"""
    elapsed: float
    """seconds until the result was complete"""
    error: str | None = None
    """class and SQLSTATE of the error, if it failed"""
    language: Literal["SQL", "Redis"] = "SQL"


@dataclass(frozen=True, slots=True)
class Message:
    """One NATS message that the test sent or received. ``body`` is masked text, cut at ``BODY_LIMIT``."""

    direction: Literal["sent", "received"]
    subject: str
    body: str
    time: float
    """seconds since the epoch"""
    error: str | None = None
    """class of the error that prevented sending"""


BODY_LIMIT = 64 * 1024


_SHOWN = 4000
"""characters that are shown of a body, and of all headers of a request or a response"""


def unrecorded(_: object) -> None:
    """Discard the record."""


def transcript(exchange: Exchange) -> str:
    """Return the whole exchange as indented text. An :class:`Exchange` contains only masked values."""
    return "\n".join(f"  {visible(line)}".rstrip() for line in _lines(exchange))


def _lines(exchange: Exchange) -> Iterator[str]:
    request, response = exchange.request, exchange.response
    yield f"{request.method} {request.url}"
    via = "" if exchange.via == "direct" else f" through {exchange.via}"
    milliseconds = exchange.elapsed * 1000
    yield f"{exchange.service}{via}, route {exchange.route}, attempt {exchange.attempt}, {milliseconds:.0f} ms"
    yield from _headers(">", request.headers)
    yield from _body(request.body)
    if response is None:
        yield from _cut(f"no response: {exchange.error}")
        return
    yield f"< {response.status} {phrase(response.status)}".rstrip()
    yield from _headers("<", response.headers)
    yield from _body(response.body)


def _headers(sign: str, headers: Mapping[str, str]) -> Iterator[str]:
    room = _SHOWN
    for number, (name, value) in enumerate(headers.items()):
        if room <= 0:
            yield f"{sign} … {counted(len(headers) - number, 'more header')}"
            return
        line = one_line(f"{name}: {value}")
        left = f"… {len(line) - room} more characters" if len(line) > room else ""
        yield f"{sign} {line[:room]}{left}"
        room -= len(line)


def _body(body: str | None) -> Iterator[str]:
    if not body:
        return
    yield ""
    yield from _cut(_pretty(body))
    yield ""


def _cut(text: str) -> Iterator[str]:
    yield from text[:_SHOWN].splitlines()
    if len(text) > _SHOWN:
        yield f"… {len(text) - _SHOWN} more characters"


def _pretty(body: str) -> str:
    try:
        # Show characters instead of JSON's escapes.
        return visible(json.dumps(from_json(body), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        return body


def phrase(status: int) -> str:
    """Return the reason phrase of an HTTP status; empty for an unknown status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
