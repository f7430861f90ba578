"""An exchange as text that a person can read: what was sent, what came back, how long it took."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from pytest_gaia.clients.payloads import from_json
from pytest_gaia.printable import one_line, visible
from pytest_gaia.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_gaia.clients.exchanges import Exchange

_SHOWN = 4000
"""characters of a body, and of all headers of a request or an answer"""


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
        yield from _cut(f"no answer: {exchange.error}")
        return
    yield f"< {response.status} {_phrase(response.status)}".rstrip()
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


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
