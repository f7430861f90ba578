"""The layer of settings that deploy files make: addresses, services and topology, each with its file, line and key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, structs

from pytest_gaia.config import addresses
from pytest_gaia.config.deployfiles.reach import FLY_DOMAIN, broker_address, http_address, members, topology
from pytest_gaia.config.layers import Layer
from pytest_gaia.config.platform import HTTP_SERVICES
from pytest_gaia.config.schema import EnvironmentTable, UrlTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_gaia.config.deployfiles.model import Deployment, Place

_ADDRESSES = ("topology", "services", "urls", "nats")
"""what deploy files say better than the layer below them, even by saying nothing"""


def deployed_layer(deployment: Deployment, below: Layer) -> Layer:
    """Return what ``deployment`` says, to be laid over ``below``.

    Hosts are added to those below and take none away: what belongs to an environment stays guarded. Raises
    ``ConfigError`` for an address that is none.
    """
    urls = _urls(deployment)
    sources = {f"urls.{service}": source_of(place) for service, (_, place) in urls.items()}
    values: dict[str, object] = {"services": members(deployment)}
    sources["services"] = _files(deployment)
    for key, found in (("topology", topology(deployment)), ("nats", broker_address(deployment))):
        if found is not None:
            values[key], sources[key] = found[0], source_of(found[1])
    if isinstance(values.get("nats"), str):
        addresses.nats_url(str(values["nats"]), sources["nats"])
    hosts = hosts_of(deployment)
    if hosts:
        known = below.table.hosts if isinstance(below.table.hosts, tuple) else ()
        values["hosts"], sources["hosts"] = tuple(dict.fromkeys((*known, *hosts))), _files(deployment)
    table = EnvironmentTable(urls=UrlTable(**{service: url for service, (url, _) in urls.items()}))
    return Layer(structs.replace(table, **values), sources, frozenset(urls))


def without_addresses(layer: Layer) -> Layer:
    """Return ``layer`` without what deploy files are asked for, so that nothing of it shines through."""
    table = structs.replace(layer.table, **dict.fromkeys(_ADDRESSES, UNSET))
    sources = {key: source for key, source in layer.sources.items() if key.partition(".")[0] not in _ADDRESSES}
    return Layer(table, sources)


def hosts_of(deployment: Deployment) -> tuple[str, ...]:
    """Return the host names that belong to ``deployment``; a compose file has none of its own."""
    if deployment.source == "compose":
        return ()
    return tuple(dict.fromkeys(f"{app.name}.{FLY_DOMAIN}" for app in deployment.apps))


def source_of(place: Place) -> str:
    """Return ``place`` as the source of a setting: ``fly.auth.staging.toml:3 app``."""
    return f"{place.file}:{place.line} {place.key}".rstrip()


def _urls(deployment: Deployment) -> Mapping[str, tuple[str, Place]]:
    apps = ((service, deployment.app(service)) for service in HTTP_SERVICES)
    found = ((service, http_address(app, deployment.source)) for service, app in apps if app is not None)
    return {service: address for service, address in found if address is not None}


def _files(deployment: Deployment) -> str:
    """Return the files as one name: itself where there is one, a pattern where there are several."""
    names = list(dict.fromkeys(app.place("app").file for app in deployment.apps))
    if len(names) == 1:
        return names[0]
    folder, _, name = names[0].rpartition("fly.")
    environment, suffix = name.split(".")[-2:]
    return f"{folder}fly.*.{environment}.{suffix if all(each.endswith(suffix) for each in names) else '*'}"
