"""One HTTP exchange: a request is sent, again where that is allowed; what became of it is recorded, and a failure explained."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_gaia.clients.exchanges import BODY_LIMIT, Exchange, ReceivedResponse, SentRequest, transcript
from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.http._arguments import Body, fill, text, url_of
from pytest_gaia.clients.http._transport import MIB, Fault, Incoming, Outgoing, Progress, Transport
from pytest_gaia.clients.reasons import hide
from pytest_gaia.config.environment import Environment
from pytest_gaia.errors import DeadlineExceeded, ServiceError, UnexpectedResponse, Unreachable
from pytest_gaia.secrets.masks import Secret, mask_url
from pytest_gaia.secrets.redaction import Redactor

__tracebackhide__ = hide

_REMEMBERED = 200

Identity = Mapping[str, Secret]
"""The headers by which a client says who it is; secrets, so that no traceback shows them."""


# No repr: pytest shows arguments in tracebacks, and a link's would fill pages.
@dataclass(frozen=True, slots=True, repr=False)
class Link:
    """The way to one service. ``route_of`` turns method and path into the path to ask for (the gateway's, where the
    service has no URL of its own) and raises ``NotApplicable`` where there is no way.
    """

    service: str
    environment: Environment
    base_url: str
    guard: WriteGuard
    redactor: Redactor
    recorder: Callable[[Exchange], None]
    transport: Transport
    via: str
    route_of: Callable[[str, str], str]
    exchanges: deque[Exchange] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def call(
        self,
        method: str,
        template: str,
        *,
        path_params: Mapping[str, object] | None,
        params: Any,
        body: Body,
        headers: Mapping[str, str],
        identity: Identity,
        within: float,
    ) -> Call:
        """Return the request as it will go out; raises ``WriteRefused`` or ``NotApplicable`` if it must not or cannot.

        ``headers`` win over those of ``identity`` and ``body``. Raises ``TypeError`` or ``ValueError`` for an argument
        that cannot be sent.
        """
        verb = text(method, "method").upper()
        route = self.route_of(verb, text(template, "path"))
        path = fill(route, path_params)
        url = url_of(self.base_url, path, params)
        receiver = self.service if self.via == "direct" else self.via
        self.guard.check_http(receiver, verb, path.partition("?")[0])
        kind = {} if body.kind is None else {"content-type": body.kind}
        sent = {name: secret.reveal() for name, secret in identity.items()} | kind | dict(headers)
        outgoing = Outgoing(verb, url, tuple(sent.items()), body.content)
        return Call(self.service, self.via, route.partition("?")[0], outgoing, within, body.shown)

    @contextlib.asynccontextmanager
    async def send(self, call: Call) -> AsyncIterator[Attempt]:
        """Send the request, again where that is allowed, and give the attempt whose answer has begun. Each one is recorded.

        Raises ``Unreachable`` or ``DeadlineExceeded``.
        """
        trials = Trials(call.outgoing.method, connect=min(self.environment.timeouts.connect, call.within))
        until = self.transport.home.enter().time() + call.within
        async with contextlib.AsyncExitStack() as stack:
            attempt = await self._answered(call, until, trials, stack)
            yield attempt
            # A check that has seen enough may leave before the end; what it saw is the record.
            attempt.finish()

    async def _answered(self, call: Call, until: float, trials: Trials, stack: contextlib.AsyncExitStack) -> Attempt:
        while True:
            attempt = Attempt(self, call, trials.attempt, until)
            stack.callback(attempt.give_up)
            try:
                await attempt.begin(stack, trials.connect)
            except Fault as fault:
                error = attempt.failed(fault)
                pause = trials.pause_after(fault)
                if pause is None:
                    raise error from None
                await asyncio.sleep(pause)
            else:
                return attempt


_KINDS = {
    "connect": Unreachable.kind,
    "answer": Unreachable.kind,
    "deadline": DeadlineExceeded.kind,
    "size": UnexpectedResponse.kind,
    "encoding": UnexpectedResponse.kind,
}


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


class Attempt:
    """One attempt of one request. Exactly one :class:`Exchange` is recorded of it: when its answer is complete, when it
    breaks off, or when the check leaves.

    ``until`` is the event loop's time at which the whole answer has to be there, with all attempts.
    """

    def __init__(self, link: Link, call: Call, number: int, until: float) -> None:
        self._link = link
        self._call = call
        self._number = number
        self._until = until
        self._started = time.time()
        self._clock = time.perf_counter()
        self._progress = Progress()
        self._incoming: Incoming | None = None
        self._received: list[bytes] = []
        self._fault: Fault | None = None
        self._exchange: Exchange | None = None

    async def begin(self, stack: contextlib.AsyncExitStack, connect: float) -> None:
        """Send the request and wait for the head of the answer, which ``stack`` closes. Raises :class:`Fault`."""
        most = self._link.environment.max_response_mib * MIB
        opening = self._link.transport.open(self._call.outgoing, self._progress, connect=connect, most=most)
        try:
            async with asyncio.timeout_at(self._until):
                self._incoming = await stack.enter_async_context(opening)
        except TimeoutError:
            raise self._late() from None

    @property
    def incoming(self) -> Incoming:
        """The head of the answer."""
        if self._incoming is None:
            raise RuntimeError("no answer has begun")
        return self._incoming

    async def chunk(self) -> bytes | None:
        """Return the next piece of the body, or None after the last. Raises the error of an answer that broke off, always."""
        try:
            if self._fault is not None:
                raise self._fault
            piece = await self._next()
        except Fault as fault:
            self._fault = fault
            raise self.failed(fault) from None
        if piece is None:
            self.finish()
        return piece

    async def _next(self) -> bytes | None:
        try:
            async with asyncio.timeout_at(self._until):
                piece = await anext(self.incoming.chunks, None)
        except TimeoutError:
            raise self._late() from None
        if piece is not None:
            self._received.append(piece)
            # What has been read already comes without a wait, and so without an end by the deadline.
            if asyncio.get_running_loop().time() > self._until:
                raise self._late()
        return piece

    async def body(self) -> bytes:
        """Return the whole body; raises what :meth:`chunk` raises."""
        while await self.chunk() is not None:
            pass
        return b"".join(self._received)

    @property
    def text(self) -> str:
        """The body so far, in the charset that the answer names."""
        try:
            return b"".join(self._received).decode(self.incoming.charset, errors="replace")
        except LookupError:
            return b"".join(self._received).decode("utf-8", errors="replace")

    def failed(self, fault: Fault) -> ServiceError:
        """Record an attempt that broke off, and return the error that tells of it."""
        link = self._link
        if fault.stage == "request":
            return ServiceError(f"the request to {link.service} was not sent: {link.redactor.text(fault.reason)}.")
        exchange = self.finish(f"{_KINDS[fault.stage]}: {fault.reason}")
        return explain(fault, exchange, link.environment, link.base_url)

    def give_up(self) -> None:
        """Record an attempt that the check ends, unless nothing of it was sent."""
        if self._progress.begun:
            self.finish("given up by the check")

    def finish(self, error: str | None = None) -> Exchange:
        """Record the exchange, once, and return it; ``error`` is what failed instead of an answer."""
        if self._exchange is None:
            self._exchange = self._made(error)
            self._link.exchanges.append(self._exchange)
            self._link.recorder(self._exchange)
        return self._exchange

    def _late(self) -> Fault:
        """Return the fault of a deadline that has passed, with how far the answer had come."""
        up = f"the {self._call.within:g} s for it are up"
        if not self._progress.connected:
            return Fault("connect", f"{up} before there was a connection")
        if self._incoming is None:
            return Fault("deadline", f"{up}, no byte of an answer came")
        return Fault("deadline", f"{up}, {sum(map(len, self._received))} bytes of the answer came")

    def _made(self, error: str | None) -> Exchange:
        # First, because a path may hold what is a secret in the route as well.
        request = self._request()
        return Exchange(
            service=self._call.service,
            via=self._call.via,
            route=self._link.redactor.shown(self._call.route),
            request=request,
            response=None if error else self._response(),
            error=error and self._link.redactor.shown(self._with_received(error)),
            started=self._started,
            elapsed=time.perf_counter() - self._clock,
            attempt=self._number,
        )

    def _with_received(self, error: str) -> str:
        if not self._received:
            return error
        return f"{error}; status {self.incoming.status}, received until then: {self._capped(self.text)}"

    def _request(self) -> SentRequest:
        outgoing = self._call.outgoing
        text = self._call.shown
        if text is None and outgoing.body is not None:
            text = outgoing.body.decode("utf-8", errors="replace")
        body = None if text is None else self._capped(text)
        clear = self._link.redactor
        return SentRequest(outgoing.method, clear.url(outgoing.url), clear.headers(outgoing.headers), body)

    def _response(self) -> ReceivedResponse:
        incoming = self.incoming
        return ReceivedResponse(incoming.status, self._link.redactor.headers(incoming.headers), self._capped(self.text))

    def _capped(self, text: str) -> str:
        return self._link.redactor.exchanged(text, BODY_LIMIT)


IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

_PAUSES = (0.1, 0.3)

# What is left of the time for connecting must be worth another try.
_WORTH = 0.05


class Trials:
    """Counts the attempts of one request and says whether there is another.

    All attempts to connect share one budget of ``connect`` seconds, so that a dead endpoint is told in that time.
    """

    def __init__(self, method: str, *, connect: float) -> None:
        self._repeatable = method in IDEMPOTENT
        self._until = time.monotonic() + connect
        self._stale = False
        self._pauses = list(_PAUSES)
        self.attempt = 1

    @property
    def connect(self) -> float:
        """Seconds left for connecting."""
        return max(self._until - time.monotonic(), _WORTH)

    def pause_after(self, fault: Fault) -> float | None:
        """Return the seconds to wait before the next attempt, or None if there is none."""
        pause = self._pause(fault)
        if pause is not None:
            self.attempt += 1
        return pause

    def _pause(self, fault: Fault) -> float | None:
        if fault.stage == "connect" and self._pauses and self.connect > self._pauses[0] + _WORTH:
            return self._pauses.pop(0)
        if fault.stale and self._repeatable and not self._stale:
            # The server closed the connection before the request reached it; the next attempt opens a new one.
            self._stale = True
            return 0.0
        return None


def explain(fault: Fault, exchange: Exchange, environment: Environment, base_url: str) -> ServiceError:
    """Return the error for a request that got no complete answer, with the exchange in its message."""
    if fault.stage == "connect":
        return Unreachable(_no_connection(fault, exchange, environment, base_url))
    if fault.stage == "deadline":
        return DeadlineExceeded(
            f"{exchange.service} did not answer in time: {fault.reason}.\n"
            f"The connection stood; the service is slow or hangs. Deadlines of {environment.label} are in gaia.toml: "
            f"[env.{environment.name}.timeouts].\n\n{transcript(exchange)}"
        )
    if fault.stage == "encoding":
        return UnexpectedResponse(
            f"the answer of {exchange.service} cannot be read: {fault.reason}.\n\n{transcript(exchange)}", exchange
        )
    if fault.stage == "size":
        return UnexpectedResponse(
            f"{exchange.service} answered with more than is read: {fault.reason}.\n"
            f"The bound is `max_response_mib` in [env.{environment.name}] of gaia.toml.\n\n{transcript(exchange)}",
            exchange,
        )
    return Unreachable(
        f"{exchange.service} broke the connection off before its answer was complete: {fault.reason}.\n"
        f"Look at the log of the service: it crashed, restarted, or something between cut the line.\n\n"
        f"{transcript(exchange)}"
    )


def _no_connection(fault: Fault, exchange: Exchange, environment: Environment, base_url: str) -> str:
    via = "" if exchange.via == "direct" else f" (through the {exchange.via})"
    service = exchange.service if exchange.via == "direct" else exchange.via
    source = environment.sources.get(f"urls.{service}", "default")
    remedy = f"Start the service or its machine, or name another URL: --gaia-url {service}=URL."
    if fault.remedy:
        remedy = f"{fault.remedy[0].upper()}{fault.remedy[1:]}"
    tries = f"{exchange.attempt} attempts" if exchange.attempt > 1 else "1 attempt"
    return (
        f"{exchange.service}{via} cannot be reached at {mask_url(base_url)}: {fault.reason} ({tries}).\n"
        f"The URL comes from {source}, environment {environment.label}.\n"
        f"{remedy}\n\n{transcript(exchange)}"
    )
