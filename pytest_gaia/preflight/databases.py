"""Which database an app is told to use: server and name, whatever way to it the variable takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gaia.preflight.addresses import FLY_DOMAINS, addresses, fly_app_of
from pytest_gaia.preflight.standing import env_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gaia.config.deployfiles.model import App, Place

_MANAGED = ".flympg.net"
_HOST = re.compile(r"(?:PG|POSTGRES_|DATABASE_|DB_)HOST|POSTGRES_SERVER", re.IGNORECASE)
_NAME = re.compile(r"PGDATABASE|(?:POSTGRES|DATABASE|DB)_(?:NAME|DB)|POSTGRES_DB", re.IGNORECASE)
_CLUSTER = re.compile(
    r"(?:FLY_)?(?:MPG|MANAGED_POSTGRES|POSTGRES|DATABASE|DB)_(?:CLUSTER|APP)(?:_(?:ID|NAME))?", re.IGNORECASE
)
_REGION = re.compile(r"PGREGION|(?:POSTGRES|DATABASE|DB|MPG)_REGION", re.IGNORECASE)
_FLY_REGION = re.compile(r"[a-z]{3}")


@dataclass(frozen=True, slots=True)
class Database:
    """One database that one variable of an app names."""

    variable: str
    server: str
    """what stays the same whatever way leads to it: the cluster of Managed Postgres, the app on Fly, or the host"""
    name: str
    """of the database; empty where the variable does not say"""
    region: str | None
    """of the server, where its host name says so"""
    place: Place


def databases(app: App) -> Iterator[Database]:
    """Yield the databases outside of the app's own network that its variables name."""
    for address in addresses(app):
        if address.is_database and "." in address.host and not address.is_local:
            name = address.path.partition("/")[0]
            yield Database(address.variable, _server(address.host), name, _region_in(address.host), address.place)
    name = next((value for variable, value in app.env.items() if _NAME.fullmatch(variable)), "")
    for variable, value in app.env.items():
        host = value.strip().lower()
        if _HOST.fullmatch(variable) and "." in host and "://" not in host:
            yield Database(variable, _server(host), name, _region_in(host), env_place(app, variable))
        elif _CLUSTER.fullmatch(variable) and re.fullmatch(r"[a-z0-9][a-z0-9-]*", host):
            yield Database(variable, host, name, None, env_place(app, variable))


def said_region(app: App) -> tuple[str, Place] | None:
    """Return the region of the database that a variable of ``app`` names, such as ``DATABASE_REGION``."""
    for variable, value in app.env.items():
        if _REGION.fullmatch(variable) and value.strip():
            return value.strip().lower(), env_place(app, variable)
    return None


def _server(host: str) -> str:
    """Return the name of the server behind ``host``: pooler and direct way lead to one cluster."""
    if host.endswith(_MANAGED):
        return host.removesuffix(_MANAGED).rpartition(".")[2]
    return fly_app_of(host) or host


def _region_in(host: str) -> str | None:
    """Return the region that a host name on Fly starts with: ``lax.gaia-db-staging.internal`` → ``lax``."""
    domain = next((each for each in FLY_DOMAINS if host.endswith(each)), None)
    labels = host.removesuffix(domain).split(".") if domain else []
    is_named = len(labels) > 1 and _FLY_REGION.fullmatch(labels[0]) and labels[0] != "top"
    return labels[0] if is_named else None
