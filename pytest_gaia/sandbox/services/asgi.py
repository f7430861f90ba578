"""The few words of ASGI that the reference services need: a request, answers, errors."""

from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream; charset=utf-8"


class HttpError(Exception):
    """Answer ``status`` with ``{"detail": detail}``."""

    def __init__(self, status: int, detail: object) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: ``kind`` is ``jwt`` or ``api_key``, ``credentials`` the header to present to the next service."""

    user_id: str
    kind: str
    credentials: tuple[str, str] = field(repr=False)


@dataclass(slots=True)
class Request:
    """One request with its whole body. ``params`` are the values of the path template."""

    scope: Scope
    body: bytes
    params: Mapping[str, str]
    identity: Identity | None = None

    @property
    def method(self) -> str:
        """The HTTP method, in capitals."""
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        """The path, decoded, without the query."""
        return str(self.scope["path"])

    @property
    def query(self) -> dict[str, str]:
        """The query; of a repeated name the last value."""
        return dict(parse_qsl(self.scope["query_string"].decode(), keep_blank_values=True))

    @property
    def headers(self) -> dict[str, str]:
        """Headers by their lower-case name."""
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.scope["headers"]}

    @property
    def client(self) -> str:
        """Address of the peer."""
        return str((self.scope.get("client") or ("unknown", 0))[0])

    @property
    def user_id(self) -> str:
        """The id of the user on a route that wants one."""
        if self.identity is None:
            msg = f"{self.method} {self.path} is served without a user"
            raise LookupError(msg)
        return self.identity.user_id

    @property
    def dry(self) -> bool:
        """Whether a fault asks that this request change nothing while answering as if it had."""
        return bool(self.scope.get("gaia.dry"))

    @property
    def any_key(self) -> bool:
        """Whether a fault asks that any key be accepted."""
        return bool(self.scope.get("gaia.any_key"))


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer. A ``content_type`` of None sends no such header, as a redirect does."""

    body: bytes
    status: int = 200
    content_type: str | None = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, content: object, status: int = 200) -> Answer:
        """Encode ``content`` as compact JSON."""
        return cls(encode(content), status)

    async def send(self, send: Send) -> None:
        """Write the answer to the peer."""
        typed = [("content-type", self.content_type)] if self.content_type else []
        headers = [*typed, ("content-length", str(len(self.body))), *self.headers]
        await send(_start(self.status, headers))
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that is written as it comes."""

    chunks: AsyncGenerator[bytes, None]
    status: int = 200
    content_type: str = SSE_TYPE

    async def send(self, send: Send) -> None:
        """Write chunk after chunk to the peer."""
        headers = [("content-type", self.content_type), ("cache-control", "no-cache")]
        await send(_start(self.status, headers))
        async with aclosing(self.chunks) as chunks:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def encode(content: object) -> bytes:
    """Return ``content`` as the services write JSON: compact, UTF-8."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


async def read_body(receive: Receive) -> bytes:
    """Read the whole body; a peer that leaves ends it."""
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _start(status: int, headers: list[tuple[str, str]]) -> Message:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": pairs}
