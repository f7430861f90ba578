"""One cell: the four services over one database and one account on the broker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_gaia.config.platform import HTTP_SERVICES, NATS_DISABLED
from pytest_gaia.sandbox.services.asset import asset_service
from pytest_gaia.sandbox.services.auth import auth_service
from pytest_gaia.sandbox.services.chat import chat_service
from pytest_gaia.sandbox.services.database import Database
from pytest_gaia.sandbox.services.events import publish_started, publish_stopping
from pytest_gaia.sandbox.services.faults import Faults
from pytest_gaia.sandbox.services.faulty import Faulty
from pytest_gaia.sandbox.services.gateway import gateway_service
from pytest_gaia.sandbox.services.identity import Identities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_gaia.sandbox.services.asgi import ASGIApp


@dataclass(frozen=True, slots=True)
class CellSettings:
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
class CellApps:
    """The services of one cell. ``apps`` holds all four; the caller decides which of them it serves."""

    settings: CellSettings
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


def build_cell(settings: CellSettings) -> CellApps:
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
    return CellApps(settings, apps, faults, database)
