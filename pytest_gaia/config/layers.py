"""Layers of settings (built-in, ``gaia.toml``, variables, command line), and how they are merged."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import UNSET, Struct, structs

from pytest_gaia.config import addresses
from pytest_gaia.config.platform import DISABLED, Platform
from pytest_gaia.config.project import PYPROJECT_FILE
from pytest_gaia.config.reader import Reader
from pytest_gaia.config.schema import (
    OLD_NAMES,
    EnvironmentTable,
    GaiaTable,
    LedgerTable,
    PlatformName,
    StageTable,
    overlay,
)
from pytest_gaia.config.services import PlatformTable, ServiceTable, platform_of
from pytest_gaia.config.variables import Sourced, Variables
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.decoding import decode, with_new_names
from pytest_gaia.files.toml import Key, key_lines, nearest_line, parse


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings of one environment from one source, or several layers merged."""

    table: EnvironmentTable = field(default_factory=EnvironmentTable)
    """without ``url``, which is expanded to ``urls``"""
    sources: Mapping[str, str] = field(default_factory=dict)
    """dotted key → source of its value"""
    named: frozenset[str] = frozenset()
    """services with a URL of their own, not from a template"""


def file_layer(file: ConfigFile, name: str, platform: Platform) -> Layer:
    """Return the settings of the environment ``name`` in ``file``; empty without any."""
    return _spelled_out(file, name, file.environments.get(name, EnvironmentTable()), platform)


def role_layer(role: str, name: str) -> Layer:
    """Return the built-in settings of environments with ``role``."""
    table = role_settings().get(role, EnvironmentTable())
    if name != role and isinstance(table.stage, StageTable):
        # The stage before it is known only for the environments that have the names of the roles.
        table = structs.replace(table, stage=structs.replace(table.stage, previous=UNSET))
    return Layer(table, {".".join(key): SHIPPED for key in _set_keys(table)})


def rule_layer(files: Iterable[ConfigFile], platform: Platform, name: str) -> Layer:
    """Return the addresses that the services have in every environment: ``url`` in ``[services.NAME]``."""
    urls, sources = {}, {}
    for service in platform.services.values():
        if service.url:
            urls[service.name] = platform.expand(service.url, service.name, name).rstrip("/")
            stated = [file for file in files if ("services", service.name, "url") in file.lines]
            sources[f"urls.{service.name}"] = stated[-1].source("services", service.name, "url") if stated else SHIPPED
    return Layer(EnvironmentTable(urls=urls), sources) if urls else Layer()


def variable_layer(variables: Variables, name: str, platform: Platform) -> Layer:
    """Return the addresses of the environment ``name`` in variables."""
    given = {each.name: variables.of(name, f"{each.variable}_URL") for each in platform.services.values()}
    return url_layer({service: found for service, found in given.items() if found}, platform)


def url_layer(given: Mapping[str, Sourced], platform: Platform) -> Layer:
    """Return a layer of addresses: service → URL. Raises ``ConfigError`` for an invalid URL."""
    urls = {}
    for service, (text, source) in given.items():
        place = f"{source}: {service}"
        urls[service] = addresses.service_url(platform[service].kind, text, place)
        if platform[service].kind == "postgres" and text != DISABLED:
            # Imported here, because few runs have a DSN.
            from pytest_gaia.config.dsn import check_parameters

            check_parameters(urls[service], place)
    sources = {f"urls.{service}": url.source for service, url in given.items()}
    return Layer(EnvironmentTable(urls=urls or UNSET), sources, frozenset(urls))


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


def _spelled_out(file: ConfigFile, name: str, table: EnvironmentTable, platform: Platform) -> Layer:
    """Return ``table`` as a layer, with ``url`` expanded to the URLs of services."""
    sources = {".".join(key): file.source("env", name, *key) for key in _set_keys(table)}
    named = frozenset(table.urls) if isinstance(table.urls, dict) else frozenset()
    if file.name == SHIPPED:
        # Their addresses are known, and only settings of the project include them.
        named -= set(platform.without)
    source = sources.pop("url", None)
    if table.url is UNSET or source is None:
        return Layer(table, sources, named)
    expanded = _expanded(table.url.rstrip("/"), name, platform)
    sources = dict.fromkeys((f"urls.{service}" for service in expanded), source) | sources
    own = table.urls if isinstance(table.urls, dict) else {}
    return Layer(structs.replace(table, url=UNSET, urls=expanded | own), sources, named)


def _expanded(template: str, name: str, platform: Platform) -> dict[str, str]:
    """Return service → URL. A template without the name of a service is the URL of the entry."""
    if "{service}" not in template and "{unit}" not in template:
        return {platform.entry: platform.expand(template, platform.entry, name)} if platform.entry else {}
    own = (service for service in platform.http if not platform[service].external)
    return {service: platform.expand(template, service, name) for service in own}


def _set_keys(table: Struct) -> Iterator[tuple[str, ...]]:
    for name, key in zip(table.__struct_fields__, table.__struct_encode_fields__, strict=True):
        value = getattr(table, name)
        if isinstance(value, Struct):
            yield from ((key, *rest) for rest in _set_keys(value))
        elif isinstance(value, dict):
            yield from ((key, each) for each in value)
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
    platform: Platform = field(default_factory=Platform)
    """the services in this file, over those of the built-in platform that it names"""
    tables: tuple[PlatformTable, Mapping[str, ServiceTable]] = (PlatformTable(), MappingProxyType({}))
    """``[platform]`` and ``[services]``"""
    lines: Mapping[Key, int] = field(default_factory=dict)

    @property
    def below(self) -> PlatformName:
        """The built-in platform that lies under this file; ``none`` by default."""
        return "none" if self.gaia.platform is UNSET else self.gaia.platform

    def source(self, *key: str) -> str:
        """Return the source of ``key``: ``gaia.toml:12``, or ``default`` for a built-in value."""
        return SHIPPED if self.name == SHIPPED else f"{self.name}:{nearest_line(self.lines, key)}"


@cache
def role_settings() -> Mapping[str, EnvironmentTable]:
    """Return role → built-in settings of environments with it, and those of the sandbox."""
    return _environments(_shipped("roles.toml"))


@cache
def shipped_file(platform: PlatformName = "none") -> ConfigFile:
    """Return the built-in description of ``platform``: its services, and its environments with their addresses."""
    if platform == "none":
        return ConfigFile(SHIPPED, {})
    document = _shipped("platforms/gaia.toml")
    tables = (
        decode(document["platform"], PlatformTable),
        {name: decode(table, ServiceTable) for name, table in document["services"].items()},
    )
    return ConfigFile(SHIPPED, _environments(document), platform=platform_of(*tables), tables=tables)


def _shipped(name: str) -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))


def _environments(document: Mapping[str, Any]) -> dict[str, EnvironmentTable]:
    return {name: decode(table, EnvironmentTable) for name, table in document["env"].items()}


def project_file(text: str, name: str) -> ConfigFile:
    """Return the settings in ``text``, the content of the file ``name``. Raises ``ConfigError`` with line and key."""
    document, lines = parse(text, name), key_lines(text, name)
    if name == PYPROJECT_FILE:
        document, lines = _table_of(document, lines)
    document, lines = with_new_names(document, lines, OLD_NAMES, name)
    reader = Reader(name, lines, role_settings())
    reader.check_top(document)
    settings = reader.settings(document)
    file = ConfigFile(name, {}, gaia=settings, ledger=reader.ledger(document), lines=lines)
    tables = reader.platform(document, *shipped_file(file.below).tables)
    declared = document.get("services", {})
    platform = platform_of(*tables, lambda each: file.source("services", each) if each in declared else SHIPPED)
    return replace(
        file,
        environments=reader.environments(document, platform, shipped_file(file.below).environments),
        platform=platform,
        tables=tables,
    )


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
