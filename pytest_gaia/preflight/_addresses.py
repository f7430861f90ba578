"""Addresses and databases in the environment variables of an app."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_gaia.config.addresses import is_loopback, is_private
from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight.files import env_place

FLY_DOMAINS = (".fly.dev", ".internal", ".flycast")
"""domains of host names between apps on Fly"""

_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{0,30})://(?:(?P<user>[^@/?#\s]{0,500})@)?"
    r"(?P<host>\[[0-9a-f:.]+\]|[^:/?#\s,]{1,255})?(?::(?P<port>\d{1,5}))?(?:/(?P<path>[^?#\s]*))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Address:
    """One URL in one variable."""

    variable: str
    scheme: str
    host: str
    path: str
    """without the slash in front"""
    place: Place

    @property
    def is_local(self) -> bool:
        """Whether it is on the machine of the client."""
        return is_loopback(self.host)

    @property
    def is_private(self) -> bool:
        """Whether it stays inside of a private network."""
        return is_private(self.host)

    @property
    def is_database(self) -> bool:
        """Whether it is the address of a PostgreSQL."""
        return self.scheme.partition("+")[0] in ("postgres", "postgresql")

    @property
    def fly_app(self) -> str | None:
        """The app on Fly that it refers to: ``top1.nearest.of.gaia-db-staging.internal`` → ``gaia-db-staging``."""
        return fly_app_of(self.host)


def fly_app_of(host: str) -> str | None:
    """Return the app that a host name of Fly stands for, or None for any other host."""
    domain = next((each for each in FLY_DOMAINS if host.endswith(each)), None)
    return None if domain is None else host.removesuffix(domain).rpartition(".")[2] or None


def addresses(app: App) -> Iterator[Address]:
    """Yield the URLs in the environment variables of ``app``; of a list of URLs, each."""
    for variable, value in app.env.items():
        for found in _URL.finditer(value):
            if found["host"]:
                yield Address(
                    variable,
                    found["scheme"].lower(),
                    found["host"].lower().rstrip("."),
                    found["path"] or "",
                    env_place(app, variable),
                )


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
    """identity of the server: the cluster of Managed Postgres, the app on Fly, or the host"""
    name: str
    """name of the database; empty if it is unknown"""
    region: str | None
    """region of the server, if its host name contains it"""
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
    """Return the server of ``host``; a pooler and a direct connection belong to one cluster."""
    if host.endswith(_MANAGED):
        return host.removesuffix(_MANAGED).rpartition(".")[2]
    return fly_app_of(host) or host


def _region_in(host: str) -> str | None:
    """Return the region that a host name on Fly starts with: ``lax.gaia-db-staging.internal`` → ``lax``."""
    domain = next((each for each in FLY_DOMAINS if host.endswith(each)), None)
    labels = host.removesuffix(domain).split(".") if domain else []
    is_named = len(labels) > 1 and _FLY_REGION.fullmatch(labels[0]) and labels[0] != "top"
    return labels[0] if is_named else None
