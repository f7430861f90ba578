"""The addresses that environment variables of an app hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gaia.config.addresses import is_loopback, is_private
from pytest_gaia.preflight.spelling import is_environment, last_word
from pytest_gaia.preflight.standing import env_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gaia.config.deployfiles.model import App, Place

FLY_DOMAINS = (".fly.dev", ".internal", ".flycast")
"""ends of the host names by which one app reaches another on Fly"""

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
        """Whether it stays on the machine that asks."""
        return is_loopback(self.host)

    @property
    def is_private(self) -> bool:
        """Whether it stays inside of a network that nobody else listens on."""
        return is_private(self.host)

    @property
    def is_database(self) -> bool:
        """Whether it is the address of a PostgreSQL."""
        return self.scheme.partition("+")[0] in ("postgres", "postgresql")

    @property
    def fly_app(self) -> str | None:
        """The app on Fly that it leads to: ``top1.nearest.of.gaia-db-staging.internal`` → ``gaia-db-staging``."""
        return fly_app_of(self.host)


def fly_app_of(host: str) -> str | None:
    """Return the app that a host name of Fly stands for, or None for any other host."""
    domain = next((each for each in FLY_DOMAINS if host.endswith(each)), None)
    return None if domain is None else host.removesuffix(domain).rpartition(".")[2] or None


def environment_of(app: str) -> str | None:
    """Return the last word of an app's name where that is an environment, as it is spelled there."""
    word = last_word(app)
    return word if word != app and is_environment(word) else None


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
