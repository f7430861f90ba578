"""What went over the wire: one frozen record for each request, statement and message, and an exchange as text."""

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
    """What was sent. Headers and body are masked before they are stored."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str | None = None


@dataclass(frozen=True, slots=True)
class ReceivedResponse:
    """What came back. ``body`` is text, cut at ``BODY_LIMIT`` characters."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what became of it: either ``response`` or ``error`` is set, never both."""

    service: str
    """the service that was asked: gateway, auth, asset or chat"""
    via: str
    """``direct``, or ``gateway`` where the service has no URL of its own"""
    route: str
    """the path template, such as ``/api/v0.2/personas/{persona_id}``"""
    request: SentRequest
    response: ReceivedResponse | None
    error: str | None
    """what failed instead of an answer, such as ``unreachable: connection refused``"""
    started: float
    """seconds since the epoch"""
    elapsed: float
    """seconds until the answer was complete"""
    attempt: int = 1

    @property
    def status(self) -> int | None:
        """The status of the answer, or None where there was none."""
        return self.response.status if self.response else None


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement that was sent: its text as the check wrote it, with placeholders, masked; never its values."""

    text: str
    started: float
    """seconds since the epoch"""
    elapsed: float
    """seconds until the answer was complete"""
    error: str | None = None
    """class and SQLSTATE of what it failed with"""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the broker that the check sent or saw. ``body`` is masked text, cut at ``BODY_LIMIT``."""

    direction: Literal["sent", "received"]
    subject: str
    body: str
    time: float
    """seconds since the epoch"""
    error: str | None = None
    """class of what kept it from being sent"""


BODY_LIMIT = 64 * 1024


_SHOWN = 4000
"""characters of a body, and of all headers of a request or an answer"""


def unrecorded(_: object) -> None:
    """Keep nothing."""


def transcript(exchange: Exchange) -> str:
    """Return the whole exchange, indented. Everything in an :class:`Exchange` is masked already."""
    return "\n".join(f"  {visible(line)}".rstrip() for line in _lines(exchange))


def _lines(exchange: Exchange) -> Iterator[str]:
    request, response = exchange.request, exchange.response
    yield f"{request.method} {request.url}"
    via = "" if exchange.via == "direct" else f" through the {exchange.via}"
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
        # JSON's escapes are read as the characters themselves.
        return visible(json.dumps(from_json(body), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        return body


def phrase(status: int) -> str:
    """Return the reason phrase of an HTTP status, empty for an unknown one."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
