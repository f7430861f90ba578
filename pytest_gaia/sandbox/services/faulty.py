"""The wrapper that gives a service its faults."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_gaia.sandbox.services.asgi import Answer, encode
from pytest_gaia.sandbox.services.rewriting import REWRITES, Rewriter

if TYPE_CHECKING:
    from pytest_gaia.sandbox.services.asgi import ASGIApp, Receive, Scope, Send
    from pytest_gaia.sandbox.services.faults import Fault, Faults


class Faulty:
    """An application, and the faults of the service that it is."""

    def __init__(self, app: ASGIApp, member: str, faults: Faults) -> None:
        self._app = app
        self._member = member
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, with the faults that meet it."""
        if scope["type"] != "http":
            return
        met = self._faults.take(self._member, scope["method"], scope["path"])
        if not met:
            await self._app(scope, receive, send)
            return
        for fault in met:
            if await _met(fault, scope, receive, send):
                return
        rewrites = [fault for fault in met if fault.kind in REWRITES]
        await self._app(scope, receive, Rewriter(send, rewrites) if rewrites else send)


async def _met(fault: Fault, scope: Scope, receive: Receive, send: Send) -> bool:
    """Do what the fault does before the application has its turn; whether that is the whole answer."""
    match fault.kind:
        case "slow":
            await _until_removed(fault, fault.arguments["delay"])
        case "hang":
            await _until_removed(fault, None)
        case "status":
            body = fault.arguments["body"]
            status = fault.arguments["status"]
            detail = {"detail": f"Fault: status {status}"} if body is None else body
            await Answer(encode(detail), status).send(send)
            return True
        case "reset":
            await _reset(scope, receive)
            return True
        case "noop":
            scope["gaia.dry"] = True
        case "accept_any_key":
            scope["gaia.any_key"] = True
    return False


async def _until_removed(fault: Fault, timeout: float | None) -> None:
    """Wait, but no longer than until the fault is removed: the request is then served as ever."""
    with suppress(TimeoutError):
        await asyncio.wait_for(fault.removed.wait(), timeout)


async def _reset(scope: Scope, receive: Receive) -> None:
    """Reset the connection. ASGI has no word for that: the server puts a function for it into ``scope["state"]``."""
    scope["state"]["reset"]()
    while (await receive())["type"] != "http.disconnect":
        pass
