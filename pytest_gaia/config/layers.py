"""Layers of settings (built-in, ``gaia.toml``, variables, command line), and how they are merged."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from msgspec import UNSET, Struct, structs

from pytest_gaia.config import addresses
from pytest_gaia.config.environment import SANDBOX
from pytest_gaia.config.platform import HTTP_SERVICES
from pytest_gaia.config.project import PYPROJECT_FILE
from pytest_gaia.config.reader import Reader
from pytest_gaia.config.schema import OLD_NAMES, EnvironmentTable, GaiaTable, LedgerTable, PlatformName, UrlTable
from pytest_gaia.config.variables import Sourced, Variables
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.decoding import decode, with_new_names
from pytest_gaia.files.toml import Key, key_lines, nearest_line, parse

Table = TypeVar("Table", bound=Struct)


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings of one environment from one source, or several layers merged."""

    table: EnvironmentTable = field(default_factory=EnvironmentTable)
    """without ``url``, which is expanded to ``urls``"""
    sources: Mapping[str, str] = field(default_factory=dict)
    """dotted key → source of its value"""
    named: frozenset[str] = frozenset()
    """services with a URL of their own, not from a template"""


def file_layer(file: ConfigFile, name: str) -> Layer:
    """Return the settings of the environment ``name`` in ``file``; empty without any."""
    table = file.environments.get(name, EnvironmentTable())
    sources = {".".join(key): file.source("env", name, *key) for key in _set_keys(table)}
    named = frozenset() if table.urls is UNSET else frozenset(key[0] for key in _set_keys(table.urls))
    template = sources.pop("url", None)
    if template is not None:
        table = _spelled_out(table)
        sources = {".".join(key): template for key in _set_keys(table) if key[0] == "urls"} | sources
    return Layer(table, sources, named)


def default_layer(file: ConfigFile) -> Layer:
    """Return the settings in ``file`` that apply to every environment."""
    return Layer(file.defaults, {".".join(key): file.source() for key in _set_keys(file.defaults)})


def variable_layer(variables: Variables, name: str) -> Layer:
    """Return the addresses of the environment ``name`` in variables."""
    given = {service: variables.of(name, f"{service.upper()}_URL") for service in (*HTTP_SERVICES, "nats")}
    return url_layer({service: found for service, found in given.items() if found})


def url_layer(given: Mapping[str, Sourced]) -> Layer:
    """Return a layer of addresses: service (or ``nats``) → URL. Raises ``ConfigError`` for an invalid URL."""
    sources = {"nats" if service == "nats" else f"urls.{service}": url.source for service, url in given.items()}
    urls = {
        service: addresses.http_url(url.value, f"{url.source}: {service}")
        for service, url in given.items()
        if service != "nats"
    }
    nats = addresses.nats_url(given["nats"].value, f"{given['nats'].source}: nats") if "nats" in given else UNSET
    table = EnvironmentTable(urls=UrlTable(**urls) if urls else UNSET, nats=nats)
    return Layer(table, sources, frozenset(urls))


def merge(layers: Iterable[Layer]) -> Layer:
    """Merge ``layers`` key by key; later ones take precedence."""
    merged = Layer()
    for layer in layers:
        merged = Layer(
            overlay(merged.table, layer.table),
            {**merged.sources, **layer.sources},
            merged.named | layer.named,
        )
    return merged


def overlay(lower: Table, upper: Table) -> Table:
    """Return ``lower`` with every key that ``upper`` sets, also in nested tables."""
    changes = {}
    for name in upper.__struct_fields__:
        below, above = getattr(lower, name), getattr(upper, name)
        if isinstance(below, Struct) and isinstance(above, Struct):
            changes[name] = overlay(below, above)
        elif above is not UNSET:
            changes[name] = above
    return structs.replace(lower, **changes)


def _spelled_out(table: EnvironmentTable) -> EnvironmentTable:
    if table.url is UNSET:
        return table
    template = table.url.rstrip("/")
    services = HTTP_SERVICES if "{service}" in template else HTTP_SERVICES[:1]
    urls = UrlTable(**{service: template.replace("{service}", service) for service in services})
    if table.urls is not UNSET:
        urls = overlay(urls, table.urls)
    return structs.replace(table, url=UNSET, urls=urls)


def _set_keys(table: Struct) -> Iterator[tuple[str, ...]]:
    for name, key in zip(table.__struct_fields__, table.__struct_encode_fields__, strict=True):
        value = getattr(table, name)
        if isinstance(value, Struct):
            yield from ((key, *rest) for rest in _set_keys(value))
        elif value is not UNSET:
            yield (key,)


SHIPPED = "default"
"""Source of built-in values."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One configuration file, decoded."""

    name: str
    """as messages show it, such as ``gaia.toml``"""
    environments: Mapping[str, EnvironmentTable]
    gaia: GaiaTable = field(default_factory=GaiaTable)
    ledger: LedgerTable = field(default_factory=LedgerTable)
    defaults: EnvironmentTable = field(default_factory=EnvironmentTable)
    """settings for every environment; only the file of a platform has them"""
    lines: Mapping[Key, int] = field(default_factory=dict)

    @property
    def platform(self) -> PlatformName:
        """The platform whose built-in settings apply; ``none`` by default."""
        return "none" if self.gaia.platform is UNSET else self.gaia.platform

    def source(self, *key: str) -> str:
        """Return the source of ``key``: ``gaia.toml:12``, or ``default`` for a built-in value."""
        return SHIPPED if self.name == SHIPPED else f"{self.name}:{nearest_line(self.lines, key)}"


@cache
def shipped_file(platform: PlatformName = "none") -> ConfigFile:
    """Return the built-in settings: those of ``platform``, over those that depend only on the name of an environment.

    Only platforms have addresses and allow writes. The sandbox runs the reference services of Gaia in every project, so
    the defaults of Gaia always apply to it.
    """
    roles, gaia = _shipped("roles.toml"), _shipped("platforms/gaia.toml")
    described = gaia if platform == "gaia" else ConfigFile(SHIPPED, {})
    environments = {
        name: overlay(table, described.environments.get(name, EnvironmentTable()))
        for name, table in roles.environments.items()
    }
    environments[SANDBOX] = overlay(gaia.defaults, environments[SANDBOX])
    return ConfigFile(SHIPPED, environments, defaults=described.defaults)


def _shipped(name: str) -> ConfigFile:
    document = tomllib.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))
    environments = {name: decode(table, EnvironmentTable) for name, table in document["env"].items()}
    return ConfigFile(SHIPPED, environments, defaults=decode(document.get("defaults", {}), EnvironmentTable))


def project_file(text: str, name: str) -> ConfigFile:
    """Return the settings in ``text``, the content of the file ``name``. Raises ``ConfigError`` with line and key."""
    document, lines = parse(text, name), key_lines(text, name)
    if name == PYPROJECT_FILE:
        document, lines = _table_of(document, lines)
    document, lines = with_new_names(document, lines, OLD_NAMES, name)
    reader = Reader(name, lines, shipped_file().environments)
    environments = reader.environments(document)
    settings, ledger = reader.settings(document), reader.ledger(document)
    return ConfigFile(name, environments, gaia=settings, ledger=ledger, lines=lines)


def _table_of(document: Mapping[str, Any], lines: Mapping[Key, int]) -> tuple[dict[str, Any], dict[Key, int]]:
    """Return the table ``[tool.gaia]`` of ``pyproject.toml``, and its lines, as if it were ``gaia.toml``.

    Its plain keys are those of ``[gaia]``; its tables are the same as in ``gaia.toml``.
    """
    table = document["tool"]["gaia"]
    if not isinstance(table, dict):
        raise ConfigError(f"{PYPROJECT_FILE}:{nearest_line(lines, ('tool', 'gaia'))}: tool.gaia: expected a table.")
    if isinstance(table.get("gaia"), dict):
        line = nearest_line(lines, ("tool", "gaia", "gaia"))
        raise ConfigError(f"{PYPROJECT_FILE}:{line}: tool.gaia.gaia: write these keys in [tool.gaia].")
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in table.items() if key not in plain}
    own = {key[2:]: line for key, line in lines.items() if key[:2] == ("tool", "gaia")}
    moved = {("gaia", *key) if not key or key[0] in plain else key: line for key, line in own.items()}
    return {"gaia": plain, **tables}, moved
