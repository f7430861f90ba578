"""What the services say on the broker when they start and stop, with a publisher of a few lines.

Publishing needs four words of the NATS protocol; importing the client library would take longer than the rest of the
services' start.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from pytest_gaia.config.platform import NATS_DISABLED
from pytest_gaia.sandbox.services.asset import CAPABILITIES
from pytest_gaia.sandbox.services.clock import naive_now

if TYPE_CHECKING:
    from collections.abc import Iterable

HEALTH = "gaia.service.health"
READY = "gaia.service.ready"
TIMEOUT = 2.0

# The release sends this very value whenever it starts.
CHAT_TIMESTAMP = "2024-01-01T00:00:00Z"

_log = logging.getLogger(__name__)


async def publish_started(nats_url: str, service: str, *, fixed: bool) -> None:
    """Publish what ``service`` says when it starts; auth says nothing, unless ``fixed``."""
    await publish(nats_url, _on_start(service, fixed=fixed))


async def publish_stopping(nats_url: str, service: str) -> None:
    """Publish what ``service`` says when it stops: only the gateway does."""
    await publish(nats_url, [(HEALTH, _gateway("stopping"))] if service == "gateway" else [])


async def publish(nats_url: str, messages: Iterable[tuple[str, object]]) -> None:
    """Send ``(subject, JSON content)`` and wait until the broker has them; a broker that is away is logged, no error."""
    frames = [_frame(subject, content) for subject, content in messages]
    if not frames or nats_url == NATS_DISABLED:
        return
    try:
        async with asyncio.timeout(TIMEOUT):
            await _send(nats_url, b"".join(frames))
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        _log.warning("the broker did not take an event: %s", error)


def _on_start(service: str, *, fixed: bool) -> list[tuple[str, object]]:
    if service == "gateway":
        return [(HEALTH, _gateway("starting")), (READY, _gateway("healthy"))]
    if service == "asset":
        return [(READY, {"service": "asset-service", "status": "ready", "capabilities": CAPABILITIES})]
    if service == "chat":
        return [(READY, {"service": "chat", "status": "ready", "timestamp": CHAT_TIMESTAMP})]
    # The release's auth service builds an event that does not serialise, and so sends none.
    return [(READY, {"service": "auth", "status": "ready", "timestamp": naive_now()})] if fixed else []


def _gateway(status: str) -> str:
    """Return the gateway's event: JSON text, which is then encoded as JSON once more."""
    return json.dumps({"service_name": "gateway", "status": status, "timestamp": naive_now(), "details": {}})


def _frame(subject: str, content: object) -> bytes:
    payload = json.dumps(content).encode()
    return b"PUB %s %d\r\n%s\r\n" % (subject.encode(), len(payload), payload)


async def _send(nats_url: str, frames: bytes) -> None:
    url = urlsplit(nats_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port or 4222)
    try:
        await reader.readuntil(b"\r\n")
        options = {"verbose": False, "name": "gaia-services"}
        if url.username:
            options |= {"user": unquote(url.username), "pass": unquote(url.password or "")}
        writer.write(b"CONNECT %s\r\n%sPING\r\n" % (json.dumps(options).encode(), frames))
        reply = await reader.readuntil(b"\r\n")
        if reply.startswith(b"-ERR"):
            raise ConnectionError(reply.decode().strip())
    finally:
        writer.close()
