"""Faults that change an answer after the service has given it: fields of JSON, events of a stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_gaia.sandbox.services.asgi import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gaia.sandbox.services.asgi import Message, Send
    from pytest_gaia.sandbox.services.faults import Fault

REWRITES = ("drop", "set", "sse_truncate", "sse_reorder")

_DATA = b"data: "
_END = b"\n\n"


class Rewriter:
    """Takes the place of ``send``: holds the answer until it is complete, and sends it with the faults in it."""

    def __init__(self, send: Send, faults: Sequence[Fault]) -> None:
        self._send = send
        self._faults = faults
        self._start: Message = {}
        self._body: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        """Take one message of the application."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body.append(message.get("body", b""))
        if not message.get("more_body", False):
            await self._finish(b"".join(self._body))

    async def _finish(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self._start["headers"]}
        streams = headers.get(b"content-type", b"").startswith(b"text/event-stream")
        for fault in self._faults:
            body = _rewrite_events(body, fault) if streams else _rewrite_json(body, fault)
        if b"content-length" in headers:
            headers[b"content-length"] = str(len(body)).encode()
        await self._send({**self._start, "headers": list(headers.items())})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


def drop_field(content: Any, path: Sequence[str]) -> None:
    """Remove the field at ``path``; ``*`` stands for every key or item. What is not there stays away."""
    *parents, name = path
    for parent in _descend(content, parents):
        for key in _keys(parent, name):
            del parent[key]


def set_field(content: Any, path: Sequence[str], value: object) -> None:
    """Set the field at ``path``, also one that an object lacks; ``*`` stands for every key or item."""
    *parents, name = path
    for parent in _descend(content, parents):
        keys = _keys(parent, name)
        for key in keys or ([name] if isinstance(parent, dict) and name != "*" else []):
            parent[key] = value


def _descend(content: Any, path: Sequence[str]) -> list[Any]:
    found = [content]
    for name in path:
        found = [parent[key] for parent in found for key in _keys(parent, name)]
    return found


def _keys(parent: Any, name: str) -> list[Any]:
    """Return the keys or indexes of ``parent`` that ``name`` means, the last first so that they can be removed."""
    if isinstance(parent, dict):
        return list(parent) if name == "*" else [name] * (name in parent)
    if isinstance(parent, list):
        return [index for index in range(len(parent) - 1, -1, -1) if name in ("*", str(index))]
    return []


def _rewrite_json(body: bytes, fault: Fault) -> bytes:
    if fault.kind not in ("drop", "set"):
        return body
    try:
        content = json.loads(body)
    except ValueError:
        return body
    path = fault.arguments["field"].split(".")
    if fault.kind == "drop":
        drop_field(content, path)
    else:
        set_field(content, path, fault.arguments["value"])
    return encode(content)


def _rewrite_events(body: bytes, fault: Fault) -> bytes:
    events = [event for event in body.split(_END) if event]
    match fault.kind:
        case "sse_truncate":
            events = events[: fault.arguments["after"]]
        case "sse_reorder":
            events = _reordered(events, fault.arguments["move"], fault.arguments["before"])
        case _:
            events = [_DATA + _rewrite_json(event.removeprefix(_DATA), fault) for event in events]
    return b"".join(event + _END for event in events)


def _reordered(events: list[bytes], move: str, before: str) -> list[bytes]:
    kinds = [_kind(event) for event in events]
    if move not in kinds or before not in kinds:
        return events
    moved = events[kinds.index(move)]
    rest = [event for event in events if event is not moved]
    place = [_kind(event) for event in rest].index(before)
    return [*rest[:place], moved, *rest[place:]]


def _kind(event: bytes) -> str | None:
    try:
        content = json.loads(event.removeprefix(_DATA))
    except ValueError:
        return None
    return str(content["type"]) if isinstance(content, dict) and "type" in content else None
