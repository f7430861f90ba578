"""One stack: the services with one database and one NATS account, and the events that they publish."""

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pytest_gaia.sandbox._services.app import ASGIApp, Logged, ServiceLog, naive_now
from pytest_gaia.sandbox._services.asset import CAPABILITIES, asset_service
from pytest_gaia.sandbox._services.auth import Identities, auth_service
from pytest_gaia.sandbox._services.chat import chat_service
from pytest_gaia.sandbox._services.database import Database
from pytest_gaia.sandbox._services.faults import Faults, Faulty
from pytest_gaia.sandbox._services.gateway import gateway_service
from pytest_gaia.sandbox.directories import REFERENCES

HEALTH = "gaia.service.health"
READY = "gaia.service.ready"
TIMEOUT = 2.0
NO_NATS = "disabled"
"""instead of the URL of NATS where there is none"""

# The platform always sends this value when it starts.
CHAT_TIMESTAMP = "2024-01-01T00:00:00Z"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StackSettings:
    """The settings of a stack's services. Secrets and URLs with secrets are not part of ``repr``."""

    name: str
    dsn: str = field(repr=False)
    """the database, prepared with :func:`schema` and :func:`seed`"""
    jwt_secret: str = field(repr=False)
    api_key: str = field(repr=False)
    """the key that was passed to ``seed``"""
    backends: Mapping[str, str]
    """base URLs of the other services for the gateway; a service that does not run refuses connections"""
    nats_url: str = field(default=NO_NATS, repr=False)
    """URL with user and password, or ``disabled``"""
    running: tuple[str, ...] = REFERENCES["current"]
    """the services that run, and publish events about it"""
    fixed: bool = False
    """whether to fix the known bugs"""
    api: str = "current"
    """the API that the services offer"""
    logs: Path | None = None
    """the folder for their logs, ``SERVICE.STACK.log``"""


@dataclass(frozen=True, slots=True)
class StackApps:
    """The services of one stack. ``apps`` contains all; the caller decides which of them run."""

    settings: StackSettings
    apps: Mapping[str, ASGIApp]
    faults: Faults
    database: Database
    logs: tuple[ServiceLog, ...] = ()

    async def start(self) -> None:
        """Publish the start of the services, once they listen. An unreachable NATS server is not an error."""
        for service in self.settings.running:
            await self.started(service)

    async def stop(self) -> None:
        """Publish the stop of the services, release hanging requests and close all connections."""
        for service in self.settings.running:
            await self.stopping(service)
        self.faults.clear()
        await self.close()

    async def close(self) -> None:
        """Close the connections to the database, and the logs."""
        await self.database.close()
        for log in self.logs:
            log.close()

    async def started(self, service: str) -> None:
        """Publish the events for the start of ``service``, also after a restart."""
        await publish_started(self.settings.nats_url, service, fixed=self.settings.fixed)

    async def stopping(self, service: str) -> None:
        """Publish the events for the stop of ``service``."""
        await publish_stopping(self.settings.nats_url, service)


def build_stack(settings: StackSettings) -> StackApps:
    """Build the services of a stack. Connections are opened by the first request."""
    database = Database(settings.dsn)
    identities = Identities(database, settings.jwt_secret, settings.api_key)
    services = (_newest if settings.api == "next" else _current)(settings, identities, database)
    faults = Faults(services)
    apps: dict[str, ASGIApp] = {name: Faulty(app, name, faults) for name, app in services.items()}
    logs = {}
    if settings.logs is not None:
        logs = {name: ServiceLog(settings.logs / f"{name}.{settings.name}.log") for name in apps}
        apps = {name: Logged(app, logs[name]) for name, app in apps.items()}
    return StackApps(settings, apps, faults, database, tuple(logs.values()))


def _current(settings: StackSettings, identities: Identities, database: Database) -> Mapping[str, ASGIApp]:
    return {
        "gateway": gateway_service(identities, database, settings.backends, fixed=settings.fixed),
        "auth": auth_service(identities, database),
        "asset": asset_service(identities, database, fixed=settings.fixed),
        "chat": chat_service(identities, database, fixed=settings.fixed),
    }


def _newest(settings: StackSettings, identities: Identities, database: Database) -> Mapping[str, ASGIApp]:
    # Only few runs need it.
    from pytest_gaia.sandbox._services.newest import newest_services

    return newest_services(identities, database, settings.backends, fixed=settings.fixed)


async def publish_started(nats_url: str, service: str, *, fixed: bool) -> None:
    """Publish the start of ``service``; auth publishes nothing unless ``fixed``."""
    await publish(nats_url, _on_start(service, fixed=fixed))


async def publish_stopping(nats_url: str, service: str) -> None:
    """Publish the stop of ``service``; only the gateway does."""
    await publish(nats_url, [(HEALTH, _gateway("stopping"))] if service == "gateway" else [])


async def publish(nats_url: str, messages: Iterable[tuple[str, object]]) -> None:
    """Send ``(subject, JSON content)`` and wait for confirmation; only log an unreachable NATS server."""
    frames = [_frame(subject, content) for subject, content in messages]
    if not frames or nats_url == NO_NATS:
        return
    try:
        async with asyncio.timeout(TIMEOUT):
            await _send(nats_url, b"".join(frames))
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        _log.warning("cannot publish an event on NATS: %s", error)


def _on_start(service: str, *, fixed: bool) -> list[tuple[str, object]]:
    if service == "gateway":
        return [(HEALTH, _gateway("starting")), (READY, _gateway("healthy"))]
    if service == "asset":
        return [(READY, {"service": "asset-service", "status": "ready", "capabilities": CAPABILITIES})]
    if service == "chat":
        return [(READY, {"service": "chat", "status": "ready", "timestamp": CHAT_TIMESTAMP})]
    # The platform's auth service builds an event that cannot be serialized, and sends none.
    return [(READY, {"service": "auth", "status": "ready", "timestamp": naive_now()})] if fixed else []


def _gateway(status: str) -> str:
    """Return the gateway's event: JSON text, which is encoded as JSON a second time."""
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
