"""Attachments with what a test exchanged with the services: HTTP, SQL and NATS."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pytest_gaia.clients.exchanges import Exchange, Message, ReceivedResponse, Statement, phrase
from pytest_gaia.printable import visible, without_colors

LIMIT = 64 * 1024
"""maximum size of one attachment, in bytes"""
MOST = 20
"""attached exchanges of one test, the latest ones, each in its own file"""


@dataclass(frozen=True, slots=True)
class Attached:
    """One attachment of a result."""

    name: str
    type: str
    extension: str
    body: bytes


def attached(
    exchanges: Sequence[Exchange], statements: Sequence[Statement], messages: Sequence[Message]
) -> Iterator[Attached]:
    """Yield the attachments of one test. Their values must be masked already.

    Color codes are removed, and other control and bidirectional characters are shown as escapes.
    """
    for exchange in exchanges[-MOST:]:
        status = exchange.status or exchange.error
        name = f"{exchange.request.method} {exchange.route} → {status}"
        yield Attached(name, "application/vnd.allure.http+json", "httpexchange", _http(exchange))
    sql = [each for each in statements if each.language == "SQL"]
    if sql:
        yield Attached(f"SQL ({len(sql)})", "text/sql", "sql", _sql(sql))
    commands = [each for each in statements if each.language == "Redis"]
    if commands:
        yield Attached(f"Redis ({len(commands)})", "text/plain", "txt", _sql(commands))
    if messages:
        yield Attached(f"NATS ({len(messages)})", "application/json", "json", _nats(messages))


def _http(exchange: Exchange) -> bytes:
    limit = LIMIT
    while True:
        body = _json(_exchange(exchange, limit))
        if len(body) <= LIMIT or not limit:
            return body
        # Bodies are cut by characters, and the attachment is measured in bytes, with escapes.
        limit //= 2


def _exchange(exchange: Exchange, limit: int) -> dict[str, Any]:
    start = round(exchange.started * 1000)
    plain: dict[str, Any] = {
        "schemaVersion": 1,
        "start": start,
        "stop": start + round(exchange.elapsed * 1000),
        "request": _request(exchange, limit),
    }
    if exchange.response is not None:
        plain["response"] = _response(exchange.response, limit)
    if exchange.error is not None:
        kind, _, message = exchange.error.partition(": ")
        plain["error"] = {"name": kind, "message": _shown(message or kind)}
    return plain


def _request(exchange: Exchange, limit: int) -> dict[str, Any]:
    request = exchange.request
    added = {"x-request-id": exchange.request_id, "traceparent": exchange.traceparent}
    plain: dict[str, Any] = {
        "method": request.method,
        "url": _shown(request.url),
        "headers": _pairs({**{name: value for name, value in added.items() if value}, **request.headers}),
        "query": [
            {"name": _shown(name), "value": _shown(value)}
            for name, value in parse_qsl(urlsplit(request.url).query, True)
        ],
        "cookies": [{"name": "cookie", "value": _shown(request.headers["cookie"])}]
        if "cookie" in request.headers
        else [],
    }
    if request.body is not None:
        plain["body"] = _body(request.body, request.headers, limit)
    return plain


def _response(response: ReceivedResponse, limit: int) -> dict[str, Any]:
    return {
        "status": response.status,
        "statusText": phrase(response.status),
        "headers": _pairs(response.headers),
        "body": _body(response.body, response.headers, limit),
    }


def _pairs(headers: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": _shown(name), "value": _shown(value)} for name, value in headers.items()]


def _body(text: str, headers: Mapping[str, str], limit: int) -> dict[str, Any]:
    cut = len(text) > limit
    plain: dict[str, Any] = {
        "encoding": "utf8",
        "value": _shown(text[:limit]),
        "size": len(text.encode(errors="replace")),
    }
    if kind := headers.get("content-type"):
        plain["contentType"] = kind
    return {**plain, "truncated": True} if cut else plain


def _sql(statements: Sequence[Statement]) -> bytes:
    def shown(each: Statement) -> str:
        failed = f", failed: {each.error}" if each.error else ""
        return f"-- {each.elapsed * 1000:.1f} ms{failed}\n{each.text.strip().removesuffix(';')};\n"

    return _cut("\n".join(map(shown, statements)).encode(errors="replace"))


def _nats(messages: Sequence[Message]) -> bytes:
    """Return the latest messages that fit into an attachment; a cut JSON document would be invalid."""
    shown = [_message(each) for each in messages]
    while len(body := _json(shown)) > LIMIT and len(shown) > 1:
        del shown[: max(1, len(shown) // 4)]
    return body if len(body) <= LIMIT else _json([{**shown[-1], "body": shown[-1]["body"][: LIMIT // 16], "cut": True}])


def _message(message: Message) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "direction": message.direction,
        "subject": _shown(message.subject),
        "time": round(message.time * 1000),
        "body": _shown(message.body),
    }
    return {**plain, "error": _shown(message.error)} if message.error else plain


def _cut(body: bytes) -> bytes:
    if len(body) <= LIMIT:
        return body
    end = b"\n-- cut\n"
    return body[: LIMIT - len(end)].decode(errors="ignore").encode() + end


def _shown(text: str) -> str:
    return visible(without_colors(text))


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()
