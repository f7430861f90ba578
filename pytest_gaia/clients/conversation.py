"""One attempt of one request: what came back so far, its deadline, and the record of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_gaia.clients.exchanges import BODY_LIMIT, Exchange, Request, Response
from pytest_gaia.clients.transport import Fault, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.clients.redaction import Redactor
    from pytest_gaia.clients.transport import Incoming, Outgoing


@dataclass(frozen=True, slots=True)
class Call:
    """A request of a check, as it will be tried."""

    service: str
    via: str
    route: str
    outgoing: Outgoing
    within: float
    """seconds for the whole answer"""
    shown: str | None = field(default=None, repr=False)
    """what is recorded of the body in its place"""


class Conversation:
    """What is said in one attempt; exactly one :class:`Exchange` is recorded of it.

    ``until`` is the event loop's time at which the whole answer has to be there, with all attempts.
    """

    def __init__(
        self, call: Call, attempt: int, until: float, redactor: Redactor, recorder: Callable[[Exchange], None]
    ) -> None:
        self.call = call
        self._attempt = attempt
        self._redactor = redactor
        self._recorder = recorder
        self._started = time.time()
        self._clock = time.perf_counter()
        self._deadline = until
        self._received: list[bytes] = []
        self._incoming: Incoming | None = None
        self._fault: Fault | None = None
        self.progress = Progress()
        self._exchange: Exchange | None = None

    def begin(self, incoming: Incoming) -> None:
        """Take the head of the answer."""
        self._incoming = incoming

    @property
    def incoming(self) -> Incoming:
        """The head of the answer."""
        if self._incoming is None:
            raise RuntimeError("no answer has begun")
        return self._incoming

    def deadline(self) -> asyncio.Timeout:
        """Return a context that ends, with ``TimeoutError``, when the time for the whole answer is up."""
        return asyncio.timeout_at(self._deadline)

    async def chunk(self) -> bytes | None:
        """Return the next piece of the body, or None after the last. Raises :class:`Fault`, and then always the same."""
        if self._fault is not None:
            raise self._fault
        try:
            async with self.deadline():
                piece = await anext(self.incoming.chunks, None)
        except TimeoutError:
            self._fault = self.late()
            raise self._fault from None
        except Fault as fault:
            self._fault = fault
            raise
        if piece is None:
            return None
        self._received.append(piece)
        # What has been read already comes without a wait, and so without an end by the deadline.
        if asyncio.get_running_loop().time() > self._deadline:
            self._fault = self.late()
            raise self._fault
        return piece

    async def body(self) -> bytes:
        """Return the whole body. Raises :class:`Fault`."""
        while await self.chunk() is not None:
            pass
        return b"".join(self._received)

    def late(self) -> Fault:
        """Return the fault of a deadline that has passed, with how far the answer had come."""
        up = f"the {self.call.within:g} s for it are up"
        if not self.progress.connected:
            return Fault("connect", f"{up} before there was a connection")
        if self._incoming is None:
            return Fault("deadline", f"{up}, no byte of an answer came")
        return Fault("deadline", f"{up}, {sum(map(len, self._received))} bytes of the answer came")

    @property
    def text(self) -> str:
        """The body so far, in the charset that the answer names."""
        try:
            return b"".join(self._received).decode(self.incoming.charset, errors="replace")
        except LookupError:
            return b"".join(self._received).decode("utf-8", errors="replace")

    def finish(self, error: str | None = None) -> Exchange:
        """Record the exchange, once, and return it; ``error`` is what failed instead of an answer."""
        if self._exchange is None:
            self._exchange = self._make(error)
            self._recorder(self._exchange)
        return self._exchange

    def _make(self, error: str | None) -> Exchange:
        # First, because a path may hold what is a secret in the route as well.
        request = self._request()
        return Exchange(
            service=self.call.service,
            via=self.call.via,
            route=self._redactor.shown(self.call.route),
            request=request,
            response=None if error else self._response(),
            error=error and self._redactor.shown(self._with_received(error)),
            started=self._started,
            elapsed=time.perf_counter() - self._clock,
            attempt=self._attempt,
        )

    def _with_received(self, error: str) -> str:
        if not self._received:
            return error
        return f"{error}; status {self.incoming.status}, received until then: {self._capped(self.text)}"

    def _request(self) -> Request:
        outgoing = self.call.outgoing
        text = self.call.shown
        if text is None and outgoing.body is not None:
            text = outgoing.body.decode("utf-8", errors="replace")
        body = None if text is None else self._capped(text)
        clear = self._redactor
        return Request(outgoing.method, clear.url(outgoing.url), clear.headers(outgoing.headers), body)

    def _response(self) -> Response:
        incoming = self.incoming
        return Response(incoming.status, self._redactor.headers(incoming.headers), self._capped(self.text))

    def _capped(self, text: str) -> str:
        return self._redactor.exchanged(text, BODY_LIMIT)
