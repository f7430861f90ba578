"""Frozen records of HTTP exchanges, SQL statements, Redis commands and NATS messages, an exchange as text, and payloads."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

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


def encode(payload: Any) -> bytes:
    """Return the bytes of a payload: empty for None, bytes unchanged, text as UTF-8, anything else as JSON."""
    if payload is None:
        return b""
    if isinstance(payload, bytes):
        return payload
    return payload.encode() if isinstance(payload, str) else to_json(payload)


def to_json(value: Any) -> bytes:
    """Return ``value`` as JSON. Raises ``TypeError`` or ``ValueError`` for a value that JSON cannot express, such as NaN."""
    try:
        return json.dumps(value, allow_nan=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None


def from_json(text: str | bytes) -> Any:
    """Return the value of a JSON text. Raises ``ValueError``, also for NaN and Infinity, which ``json`` accepts."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not valid JSON")


def decode(payload: bytes) -> Any:
    """Return the decoded payload.

    JSON is decoded. A JSON string that contains an object or a list, as some services send it, is decoded twice. Text
    that is not JSON is returned as text, other bytes as bytes, and an empty payload as None.
    """
    if not payload:
        return None
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return payload
    try:
        value = from_json(text)
    except ValueError:
        return text
    return _decoded_again(value) if isinstance(value, str) else value


def _decoded_again(text: str) -> Any:
    try:
        inner = from_json(text)
    except ValueError:
        return text
    return inner if isinstance(inner, (dict, list)) else text
