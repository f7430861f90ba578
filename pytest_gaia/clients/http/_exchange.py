"""One HTTP exchange: send a request, retry where allowed, record the result and explain failures."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_gaia.clients.exchanges import (
    BODY_LIMIT,
    Exchange,
    ReceivedResponse,
    SentRequest,
    TraceHeaders,
    new_trace_id,
    transcript,
)
from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.http._arguments import Body, fill, text, url_of
from pytest_gaia.clients.http._transport import MIB, MOST_RATIO, Fault, Incoming, Outgoing, Progress, Transport
from pytest_gaia.clients.limits import Place, ServiceLimits
from pytest_gaia.clients.reasons import hide
from pytest_gaia.clients.running import RUNNING, RunningTest
from pytest_gaia.config.environment import Environment, Timeouts
from pytest_gaia.errors import DeadlineExceeded, NotSent, ServiceError, UnexpectedResponse, Unreachable
from pytest_gaia.secrets.masks import Secret, mask_url
from pytest_gaia.secrets.redaction import Redactor

__tracebackhide__ = hide

_REMEMBERED = 200
_GRACE = 1.0
"""seconds after the time limit of a request in which it ends by itself"""

Identity = Mapping[str, Secret]
"""headers that identify the client; secrets, so that no traceback shows them"""


# No repr: pytest shows arguments in tracebacks, and this one would be very long.
@dataclass(frozen=True, slots=True, repr=False)
class Link:
    """How to reach one service.

    ``route_of`` returns the path to request for a method and path: that of ``via`` if the service has no URL of its own.
    It raises ``NotApplicable`` if there is no route. ``trace_id`` returns the trace ID of the running
    test, and gets a function that finds secrets.
    """

    service: str
    environment: Environment
    base_url: str
    guard: WriteGuard
    redactor: Redactor
    recorder: Callable[[Exchange], None]
    transport: Transport
    limits: ServiceLimits
    """those of the service that receives the requests"""
    not_sent: Callable[[NotSent], None]
    timeouts: Timeouts
    via: str
    """the service that receives the requests; ``direct`` if that is the service itself"""
    route_of: Callable[[str, str], str]
    trace_id: Callable[[Callable[[str], bool]], str] = new_trace_id
    exchanges: deque[tuple[RunningTest | str | None, Exchange]] = field(
        default_factory=lambda: deque(maxlen=_REMEMBERED)
    )

    @property
    def receiver(self) -> str:
        """The service that receives the requests."""
        return self.service if self.via == "direct" else self.via

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
        limit: int | None = None,
    ) -> Call:
        """Return the request to send.

        ``headers`` override those of ``identity`` and ``body``. ``limit`` is the one of this response, in bytes. Raises
        ``TypeError`` or ``ValueError`` for an invalid argument, ``WriteRefused`` for a write that is not permitted,
        ``NotApplicable`` without a route.
        """
        verb = text(method, "method").upper()
        route = self.route_of(verb, text(template, "path"))
        path = fill(route, path_params)
        url = url_of(self.base_url, path, params)
        own = (self.service, fill(template, path_params).partition("?")[0]) if self.via != "direct" else None
        kind = {} if body.kind is None else {"content-type": body.kind}
        sent = {name: secret.reveal() for name, secret in identity.items()} | kind | dict(headers)
        self.guard.check_http(
            self.receiver, verb, path.partition("?")[0], own, url=url, headers=sent, body=body.content
        )
        outgoing = Outgoing(verb, url, tuple(sent.items()), body.content, checked=True)
        return Call(self.service, self.via, route.partition("?")[0], outgoing, within, limit, body.shown)

    @contextlib.asynccontextmanager
    async def send(self, call: Call) -> AsyncIterator[Attempt]:
        """Send the request, with retries where allowed, and yield the attempt whose response has begun.

        Each attempt is recorded. Raises ``NotSent``, ``Unreachable`` or ``DeadlineExceeded``.
        """
        self.transport.home.enter()
        try:
            place = await self.limits.enter()
        except NotSent as error:
            self.not_sent(error)
            raise
        # No time limit includes the wait for other requests.
        until = place.started + call.within
        place.keep_until(until + _GRACE)
        try:
            async with contextlib.AsyncExitStack() as stack:
                attempt = await self._begun(call, place, until, stack)
                yield attempt
                # A test may leave before the end of the body; the record then holds what it read.
                attempt.finish()
        finally:
            place.leave()

    async def _begun(self, call: Call, place: Place, until: float, stack: contextlib.AsyncExitStack) -> Attempt:
        trials = Trials(call.outgoing.method, connect=min(self.timeouts.connect, call.within))
        while True:
            attempt = Attempt(self, call, place, trials.attempt, until)
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
    "response": Unreachable.kind,
    "deadline": DeadlineExceeded.kind,
    "size": UnexpectedResponse.kind,
    "encoding": UnexpectedResponse.kind,
}


@dataclass(frozen=True, slots=True)
class Call:
    """A request of a test, before its first attempt."""

    service: str
    via: str
    route: str
    outgoing: Outgoing
    within: float
    """seconds for the whole response"""
    limit: int | None = None
    """bytes of the decoded body; None for the limit of the environment"""
    shown: str | None = field(default=None, repr=False)
    """text to record instead of the body"""


class Attempt:
    """One attempt of one request.

    Records exactly one :class:`Exchange`: when the response is complete, when it fails, or when the test stops reading.
    ``until`` is the deadline for the whole response, all attempts included, in the event loop's time.
    """

    def __init__(self, link: Link, call: Call, place: Place, number: int, until: float) -> None:
        self._link = link
        self._call = call
        self._place = place
        self._number = number
        self._until = until
        self._started = time.time()
        self._clock = time.perf_counter()
        self._progress = Progress(link.receiver)
        self._trace = TraceHeaders.of(link.trace_id(link.redactor.is_in_id), link.redactor.is_in_id)
        self._incoming: Incoming | None = None
        self._received: list[bytes] = []
        self._fault: Fault | None = None
        self._exchange: Exchange | None = None

    async def begin(self, stack: contextlib.AsyncExitStack, connect: float) -> None:
        """Send the request and wait for the head of the response; ``stack`` closes it. Raises :class:`Fault`."""
        limit = self._call.limit
        most = self._link.environment.max_response_mib * MIB if limit is None else limit
        # A test that sets a limit knows how large the body is, however well it was compressed.
        ratio = MOST_RATIO if limit is None else math.inf
        added = (("x-request-id", self._trace.request_id), ("traceparent", self._trace.traceparent))
        opening = self._link.transport.open(
            self._call.outgoing, self._progress, added, connect=connect, most=most, ratio=ratio
        )
        try:
            async with asyncio.timeout_at(self._until):
                self._incoming = await stack.enter_async_context(opening)
        except TimeoutError:
            raise self._late() from None

    @property
    def incoming(self) -> Incoming:
        """The head of the response."""
        if self._incoming is None:
            raise RuntimeError("no response has begun")
        return self._incoming

    async def chunk(self) -> bytes | None:
        """Return the next piece of the body, or None after the last.

        Raises the error of an incomplete response, also when called again.
        """
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
            # Data that is already buffered comes without a wait, so the timeout above never ends it.
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
        """The body so far, decoded with the charset of the response."""
        try:
            return b"".join(self._received).decode(self.incoming.charset, errors="replace")
        except LookupError:
            return b"".join(self._received).decode("utf-8", errors="replace")

    def failed(self, fault: Fault) -> ServiceError:
        """Record a failed attempt and return its error."""
        link = self._link
        if fault.stage == "request":
            return ServiceError(f"the request to {link.service} was not sent: {link.redactor.text(fault.reason)}.")
        if fault.stage == "deadline":
            self._place.exceeded(self._call.within)
        exchange = self.finish(f"{_KINDS[fault.stage]}: {fault.reason}")
        return explain(fault, exchange, link.environment, link.base_url)

    def responded(self) -> None:
        """Note that the service has responded; a stream has when it begins, other responses when they are complete."""
        incoming = self.incoming
        wait = next((value for name, value in incoming.headers if name.lower() == "retry-after"), "")
        self._place.responded(incoming.status, wait)

    def give_up(self) -> None:
        """Record an attempt that the test canceled, unless nothing was sent."""
        if self._progress.begun:
            self.finish("canceled by the test")

    def finish(self, error: str | None = None) -> Exchange:
        """Record the exchange once and return it. ``error`` is why there is no response."""
        if self._exchange is None:
            self._exchange = self._recorded(error)
            if error is None:
                self.responded()
            self._link.exchanges.append((RUNNING.get(), self._exchange))
            self._link.recorder(self._exchange)
        return self._exchange

    def _late(self) -> Fault:
        """Return the fault of an exceeded deadline, with the progress of the response."""
        limit = f"{self._call.within:g} s"
        if not self._progress.connected:
            return Fault("connect", f"not connected within {limit}")
        if self._incoming is None:
            return Fault("deadline", f"no response within {limit}")
        return Fault("deadline", f"only {sum(map(len, self._received))} bytes of the response within {limit}")

    def _recorded(self, error: str | None) -> Exchange:
        # First, because a secret in the path may also be part of the route.
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
            # Those of the test are masked.
            request_id=request.headers.get("x-request-id", self._trace.request_id),
            traceparent=request.headers.get("traceparent", self._trace.traceparent),
        )

    def _with_received(self, error: str) -> str:
        if not self._received:
            return error
        return f"{error}; status {self.incoming.status}, received so far: {self._capped(self.text)}"

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

# Seconds of the connect timeout that must be left for another attempt.
_WORTH = 0.05


class Trials:
    """Counts the attempts of one request and decides about the next one.

    All attempts share one budget of ``connect`` seconds, so that a dead endpoint is reported within that time.
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
        """Return the seconds to wait before the next attempt; None if there is none."""
        pause = self._pause(fault)
        if pause is not None:
            self.attempt += 1
        return pause

    def _pause(self, fault: Fault) -> float | None:
        if fault.stage == "connect" and self._pauses and self.connect > self._pauses[0] + _WORTH:
            return self._pauses.pop(0)
        if fault.stale and self._repeatable and not self._stale:
            # The server closed the idle connection before the request reached it; the next attempt opens a new one.
            self._stale = True
            return 0.0
        return None


def explain(fault: Fault, exchange: Exchange, environment: Environment, base_url: str) -> ServiceError:
    """Return the error for a request without a complete response. Its message contains the exchange."""
    if fault.stage == "connect":
        return Unreachable(_no_connection(fault, exchange, environment, base_url))
    if fault.stage == "deadline":
        return DeadlineExceeded(
            f"{exchange.service} did not respond in time: {fault.reason}.\n"
            f"The connection was open, so the service is slow or hangs. Its timeouts are in "
            f"{_timeouts_table(exchange.service, environment)} of gaia.toml.\n\n{transcript(exchange)}"
        )
    if fault.stage == "encoding":
        return UnexpectedResponse(
            f"cannot decode the response of {exchange.service}: {fault.reason}.\n\n{transcript(exchange)}", exchange
        )
    if fault.stage == "size":
        setting = f"`max_response_mib` in [env.{environment.name}] of gaia.toml"
        remedy = fault.remedy or f"The limit is `limit` of the request, in MiB, or else {setting}."
        return UnexpectedResponse(
            f"the response of {exchange.service} is too large: {fault.reason}.\n{remedy}\n\n{transcript(exchange)}",
            exchange,
        )
    return Unreachable(
        f"the connection to {exchange.service} was closed before the response was complete: {fault.reason}.\n"
        f"Check the log of the service: it crashed, restarted, or a proxy closed the connection.\n\n"
        f"{transcript(exchange)}"
    )


def _timeouts_table(service: str, environment: Environment) -> str:
    own = service in environment.platform and environment.platform[service].timeouts
    return f"[services.{service}.timeouts]" if own else f"[env.{environment.name}.timeouts]"


def _no_connection(fault: Fault, exchange: Exchange, environment: Environment, base_url: str) -> str:
    via = "" if exchange.via == "direct" else f" (through {exchange.via})"
    service = exchange.service if exchange.via == "direct" else exchange.via
    source = environment.sources.get(f"urls.{service}", "default")
    remedy = f"Start the service or its machine, or set another URL: --gaia-url {service}=URL."
    if fault.remedy:
        remedy = f"{fault.remedy[0].upper()}{fault.remedy[1:]}"
    tries = f"{exchange.attempt} attempts" if exchange.attempt > 1 else "1 attempt"
    return (
        f"{exchange.service}{via} is unreachable at {mask_url(base_url)}: {fault.reason} ({tries}).\n"
        f"Source of the URL: {source}. Environment: {environment.label}.\n"
        f"{remedy}\n\n{transcript(exchange)}"
    )
