"""Whose is a host: an address that belongs to another environment is refused before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.config import addresses
from pytest_gaia.config.platform import NATS_DISABLED
from pytest_gaia.errors import EnvironmentUnavailable

if TYPE_CHECKING:
    from pytest_gaia.config.catalogue import Catalogue
    from pytest_gaia.config.environment import Environment


def refuse_foreign_hosts(environment: Environment, catalogue: Catalogue) -> None:
    """Raise ``EnvironmentUnavailable`` if an address of ``environment`` belongs to another environment."""
    urls = {f"urls.{service}": url for service, url in environment.urls.items()}
    if environment.nats not in (None, NATS_DISABLED):
        urls["nats"] = str(environment.nats)
    if environment.database is not None:
        urls["secrets.database"] = environment.database.reveal()
    for key, url in urls.items():
        for host in addresses.hosts_in(url):
            others = [name for name in catalogue.owners_of(host) if name != environment.name]
            if others and not addresses.matches(host, catalogue.stated_hosts(environment.name)):
                owner = others[0]
                raise EnvironmentUnavailable(
                    f"{environment.name}: {key} (from {environment.sources[key]}) is {host}, which belongs to {owner}. "
                    f"Nothing was sent. To run against {owner}, say --gaia-env={owner}; if the host is "
                    f"{environment.name}'s, correct `hosts` of both in gaia.toml."
                )
