"""Frozen records of HTTP exchanges, SQL statements, Redis commands and NATS messages, an exchange as text, and payloads."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, NamedTuple

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
    request_id: str = ""
    """the header ``X-Request-ID``, a UUID that only this attempt has, unless the test has set it"""
    traceparent: str = ""
    """the header ``traceparent`` of W3C Trace Context; its trace ID is the same for all requests of a test"""

    @property
    def status(self) -> int | None:
        """The status of the response; None if there was none."""
        return self.response.status if self.response else None

    @property
    def trace_id(self) -> str:
        """The trace ID in ``traceparent``; empty if the test has set one that is not valid."""
        found = _TRACEPARENT.fullmatch(self.traceparent)
        return found[1] if found else ""


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

    @property
    def is_completed(self) -> bool:
        """Whether the service responded, also if it responded with an error."""
        if self.error is None or self.language == "Redis":
            return self.error in (None, "ResponseError")
        # SQLSTATE of class 08 is about the connection.
        return "(" in self.error and "(08" not in self.error


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


_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


_TRIES = 100


def new_trace_id(has_secret: Callable[[str], bool]) -> str:
    """Return a random trace ID: 32 hexadecimal digits. The first 16 can begin a UUID of version 4.

    A short secret may be part of a random number by chance. Such a number is not used, because the secret scan would find
    the secret in each record of it, and messages would show it masked.
    """
    for _ in range(_TRIES):
        digits = os.urandom(16).hex()
        made = f"{digits[:12]}4{digits[13:]}"
        if not has_secret(made):
            break
    return made


class TraceHeaders(NamedTuple):
    """The headers by which logs name one attempt of a request."""

    request_id: str
    """half of the trace ID, and the span ID, as a UUID of version 4, because many servers replace any other value"""
    traceparent: str

    @classmethod
    def of(cls, trace_id: str, has_secret: Callable[[str], bool]) -> TraceHeaders:
        """Return new headers for a request of the trace, without secrets as in :func:`new_trace_id`."""
        first = f"{trace_id[:8]}-{trace_id[8:12]}-{trace_id[12:16]}"
        for _ in range(_TRIES):
            # Its first two bits are those of a UUID. So it is never zero, which would not be valid.
            span = f"{int.from_bytes(os.urandom(8)) >> 2 | 1 << 63:016x}"
            made = cls(f"{first}-{span[:4]}-{span[4:]}", f"00-{trace_id}-{span}-01")
            if not has_secret(" ".join(made)):
                break
        return made


BODY_LIMIT = 64 * 1024


_SHOWN = 4000
"""characters that are shown of a body, and of all headers of a request or a response"""


def unrecorded(_: object) -> None:
    """Discard the record."""


def transcript(exchange: Exchange, *, ids: bool = False) -> str:
    """Return the whole exchange as indented text. An :class:`Exchange` contains only masked values.

    ``ids`` adds request ID and trace ID. The message of an error must not contain them: expectations search it, and any
    number can be part of a random one.
    """
    return "\n".join(f"  {visible(line)}".rstrip() for line in _lines(exchange, ids=ids))


def _lines(exchange: Exchange, *, ids: bool) -> Iterator[str]:
    request, response = exchange.request, exchange.response
    yield f"{request.method} {request.url}"
    via = "" if exchange.via == "direct" else f" through {exchange.via}"
    milliseconds = exchange.elapsed * 1000
    yield f"{exchange.service}{via}, route {exchange.route}, attempt {exchange.attempt}, {milliseconds:.0f} ms"
    if ids and (named := ids_of(exchange)):
        yield named
    yield from _headers(">", request.headers)
    yield from _body(request.body)
    if response is None:
        yield from _cut(f"no response: {exchange.error}")
        return
    yield f"< {response.status} {phrase(response.status)}".rstrip()
    yield from _headers("<", response.headers)
    yield from _body(response.body)


def ids_of(exchange: Exchange) -> str:
    """Return request ID and trace ID as they are shown; empty if there are none."""
    known = (("request ID", exchange.request_id), ("trace ID", exchange.trace_id))
    return one_line(", ".join(f"{name} {value}" for name, value in known if value))


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


MOST_DEPTH = 64
"""objects and arrays within each other that strict JSON may have"""
MOST_DIGITS = 32
"""digits that a number of strict JSON may have"""


def from_json(text: str | bytes, *, strict: bool = True) -> Any:
    """Return the value of a JSON text. Raises ``ValueError`` if it is not JSON.

    ``strict`` refuses what other readers understand differently or not at all, although ``json`` accepts it: an encoding
    other than UTF-8, NaN and infinite numbers, a key that occurs twice, lone surrogates, numbers of more than
    ``MOST_DIGITS`` digits, and a depth of more than ``MOST_DEPTH``.
    """
    try:
        if not strict:
            return json.loads(text)
        plain = text if isinstance(text, str) else _utf8(text)
        value = json.loads(
            plain, parse_constant=_no_constant, parse_int=_integer, parse_float=_finite, object_pairs_hook=_unique
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if plain.count("[") + plain.count("{") > MOST_DEPTH:
        _check_depth(value)
    if "\\u" in plain:
        _check_surrogates(value)
    return value


def _utf8(content: bytes) -> str:
    encoding = json.detect_encoding(content)
    if encoding != "utf-8":
        found = "UTF-8 with a byte order mark" if encoding == "utf-8-sig" else encoding.upper()
        raise ValueError(f"the encoding is {found}, expected UTF-8")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None


def _no_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not valid JSON")


def _integer(digits: str) -> int:
    _check_digits(digits)
    return int(digits)


def _finite(number: str) -> float:
    _check_digits(number)
    if math.isinf(value := float(number)):
        raise ValueError(f"{number} is not a finite number")
    return value


def _check_digits(number: str) -> None:
    if len(number) > MOST_DIGITS and (digits := sum(map(str.isdigit, number))) > MOST_DIGITS:
        raise ValueError(f"a number has {digits} digits, more than {MOST_DIGITS}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return found


def _check_depth(value: Any) -> None:
    level = [value]
    for depth in range(MOST_DEPTH + 1):
        level = [each for each in level if isinstance(each, (dict, list))]
        if depth == MOST_DEPTH and level:
            raise ValueError(f"nested deeper than {MOST_DEPTH}")
        level = [each for group in level for each in (group.values() if isinstance(group, dict) else group)]


def _check_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a string has a surrogate (\\ud800 to \\udfff) without its other half") from None


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
