"""One HTTP exchange: a request is sent, again where that is allowed; what became of it is recorded, and a failure explained."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_gaia.clients.exchanges import BODY_LIMIT, Exchange, Request, Response, transcript
from pytest_gaia.clients.http.arguments import fill, text, url_of
from pytest_gaia.clients.http.transport import MIB, Fault, Outgoing, Progress
from pytest_gaia.clients.reasons import hide
from pytest_gaia.config.secrets import Secret, mask_url
from pytest_gaia.errors import DeadlineExceeded, ServiceError, UnexpectedAnswer, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pytest_gaia.clients.guard import WriteGuard
    from pytest_gaia.clients.http.arguments import Body
    from pytest_gaia.clients.http.transport import Incoming, Transport
    from pytest_gaia.clients.redaction import Redactor
    from pytest_gaia.config.environment import Environment


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
    async def converse(self, call: Call) -> AsyncIterator[Conversation]:
        """Send the request, again where that is allowed, and give the conversation once an answer has begun.

        Raises ``Unreachable`` or ``DeadlineExceeded``.
        """
        trials = Trials(call.outgoing.method, connect=min(self.environment.timeouts.connect, call.within))
        async with contextlib.AsyncExitStack() as stack:
            yield await self._answered(call, trials, stack)

    async def _answered(self, call: Call, trials: Trials, stack: contextlib.AsyncExitStack) -> Conversation:
        until = self.transport.home.enter().time() + call.within
        while True:
            talk = Conversation(call, trials.attempt, until, self.redactor, self._record)
            stack.callback(_give_up, talk)
            try:
                await self._open(talk, trials.connect, stack)
            except Fault as fault:
                error = self.failed(talk, fault)
                pause = trials.pause_after(fault)
                if pause is None:
                    raise error from None
                await asyncio.sleep(pause)
            else:
                return talk

    async def _open(self, talk: Conversation, connect: float, stack: contextlib.AsyncExitStack) -> None:
        most = self.environment.max_answer_mib * MIB
        opening = self.transport.open(talk.call.outgoing, talk.progress, connect=connect, most=most)
        try:
            async with talk.deadline():
                talk.begin(await stack.enter_async_context(opening))
        except TimeoutError:
            raise talk.late() from None

    def failed(self, talk: Conversation, fault: Fault) -> ServiceError:
        """Record a conversation that broke off, and return the error that tells of it."""
        if fault.stage == "request":
            return ServiceError(f"the request to {self.service} was not sent: {self.redactor.text(fault.reason)}.")
        exchange = talk.finish(f"{_KINDS[fault.stage]}: {fault.reason}")
        return explain(fault, exchange, self.environment, self.base_url)

    def _record(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        self.recorder(exchange)


def _give_up(talk: Conversation) -> None:
    """Record a conversation that the check ends, unless nothing of it was sent."""
    if talk.progress.begun:
        talk.finish("given up by the check")


_KINDS = {
    "connect": Unreachable.kind,
    "answer": Unreachable.kind,
    "deadline": DeadlineExceeded.kind,
    "size": UnexpectedAnswer.kind,
    "encoding": UnexpectedAnswer.kind,
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
        return UnexpectedAnswer(
            f"the answer of {exchange.service} cannot be read: {fault.reason}.\n\n{transcript(exchange)}", exchange
        )
    if fault.stage == "size":
        return UnexpectedAnswer(
            f"{exchange.service} answered with more than is read: {fault.reason}.\n"
            f"The bound is `max_answer_mib` in [env.{environment.name}] of gaia.toml.\n\n{transcript(exchange)}",
            exchange,
        )
    return Unreachable(
        f"{exchange.service} broke the connection off before its answer was complete: {fault.reason}.\n"
        f"Look at the log of the service: it crashed, restarted, or something between cut the line.\n\n"
        f"{transcript(exchange)}"
    )


def _no_connection(fault: Fault, exchange: Exchange, environment: Environment, base_url: str) -> str:
    via = "" if exchange.via == "direct" else f" (through the {exchange.via})"
    member = exchange.service if exchange.via == "direct" else exchange.via
    source = environment.sources.get(f"urls.{member}", "default")
    remedy = f"Start the service or its machine, or name another URL: --gaia-url {member}=URL."
    if fault.remedy:
        remedy = f"{fault.remedy[0].upper()}{fault.remedy[1:]}"
    tries = f"{exchange.attempt} attempts" if exchange.attempt > 1 else "1 attempt"
    return (
        f"{exchange.service}{via} cannot be reached at {mask_url(base_url)}: {fault.reason} ({tries}).\n"
        f"The URL comes from {source}, environment {environment.label}.\n"
        f"{remedy}\n\n{transcript(exchange)}"
    )
