"""What the views of one HTTP client share: the way to the service, the rules, and the record of what was said."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_gaia.clients.arguments import text
from pytest_gaia.clients.conversation import Call, Conversation
from pytest_gaia.clients.failures import explain
from pytest_gaia.clients.paths import fill, url_of
from pytest_gaia.clients.retries import Trials
from pytest_gaia.clients.tracebacks import hide
from pytest_gaia.clients.transport import MIB, Fault, Outgoing
from pytest_gaia.config.secrets import Secret
from pytest_gaia.errors import DeadlineExceeded, ServiceError, UnexpectedAnswer, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pytest_gaia.clients.arguments import Body
    from pytest_gaia.clients.exchanges import Exchange
    from pytest_gaia.clients.guard import WriteGuard
    from pytest_gaia.clients.redaction import Redactor
    from pytest_gaia.clients.transport import Transport
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
