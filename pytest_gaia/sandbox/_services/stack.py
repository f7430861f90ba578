"""One cell: the four services over one database and one account on the broker, and what they say there."""

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from pytest_gaia.config.platform import HTTP_SERVICES, NATS_DISABLED
from pytest_gaia.sandbox._services.app import ASGIApp, naive_now
from pytest_gaia.sandbox._services.asset import CAPABILITIES, asset_service
from pytest_gaia.sandbox._services.auth import Identities, auth_service
from pytest_gaia.sandbox._services.chat import chat_service
from pytest_gaia.sandbox._services.database import Database
from pytest_gaia.sandbox._services.faults import Faults, Faulty
from pytest_gaia.sandbox._services.gateway import gateway_service

HEALTH = "gaia.service.health"
READY = "gaia.service.ready"
TIMEOUT = 2.0

# The release sends this very value whenever it starts.
CHAT_TIMESTAMP = "2024-01-01T00:00:00Z"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StackSettings:
    """What the services of a cell need to know. Secrets and URLs that may hold one stay out of ``repr``."""

    name: str
    dsn: str = field(repr=False)
    """the database, prepared with :func:`schema` and :func:`seed`"""
    jwt_secret: str = field(repr=False)
    api_key: str = field(repr=False)
    """the key that was given to ``seed``"""
    backends: Mapping[str, str]
    """base URLs of auth, asset and chat for the gateway; the URL of a service that is left out refuses"""
    nats_url: str = field(default=NATS_DISABLED, repr=False)
    """URL with user and password, or ``disabled``"""
    running: tuple[str, ...] = HTTP_SERVICES
    """the services that run, and say so on the broker"""
    fixed: bool = False
    """serve the platform without the defects of its release"""


@dataclass(frozen=True, slots=True)
class StackApps:
    """The services of one cell. ``apps`` holds all four; the caller decides which of them it serves."""

    settings: StackSettings
    apps: Mapping[str, ASGIApp]
    faults: Faults
    database: Database

    async def start(self) -> None:
        """Say on the broker that the services run; call it once they listen. A broker that is down is no error."""
        for service in self.settings.running:
            await self.started(service)

    async def stop(self) -> None:
        """Say on the broker that the services stop, let hanging requests go and close the connections."""
        for service in self.settings.running:
            await self.stopping(service)
        self.faults.clear()
        await self.database.close()

    async def started(self, service: str) -> None:
        """Publish what ``service`` publishes when it starts (one that was stopped and started again, too)."""
        await publish_started(self.settings.nats_url, service, fixed=self.settings.fixed)

    async def stopping(self, service: str) -> None:
        """Publish what ``service`` publishes when it stops."""
        await publish_stopping(self.settings.nats_url, service)


def build_stack(settings: StackSettings) -> StackApps:
    """Build the services of a cell; nothing connects before the first request."""
    database = Database(settings.dsn)
    identities = Identities(database, settings.jwt_secret, settings.api_key)
    faults = Faults()
    services = {
        "gateway": gateway_service(identities, database, settings.backends, fixed=settings.fixed),
        "auth": auth_service(identities, database),
        "asset": asset_service(identities, database, fixed=settings.fixed),
        "chat": chat_service(identities, database, fixed=settings.fixed),
    }
    apps = {name: Faulty(app, name, faults) for name, app in services.items()}
    return StackApps(settings, apps, faults, database)


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
