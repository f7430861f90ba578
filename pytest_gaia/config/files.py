"""Reading ``gaia.toml`` and what is shipped: text → typed tables, with the line of every key."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import UNSET

from pytest_gaia.config.decoding import decode
from pytest_gaia.config.documents import parse
from pytest_gaia.config.environment import SANDBOX
from pytest_gaia.config.layers import overlay
from pytest_gaia.config.locate import key_lines, nearest_line
from pytest_gaia.config.reader import Reader
from pytest_gaia.config.schema import EnvironmentTable, GaiaTable, LedgerTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_gaia.config.locate import Key
    from pytest_gaia.config.schema import PlatformName

SHIPPED = "default"
"""Source of the values that come with this package."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One configuration file, decoded."""

    name: str
    """as messages show it, such as ``gaia.toml``"""
    environments: Mapping[str, EnvironmentTable]
    gaia: GaiaTable = field(default_factory=GaiaTable)
    ledger: LedgerTable = field(default_factory=LedgerTable)
    defaults: EnvironmentTable = field(default_factory=EnvironmentTable)
    """laid under every environment; only the description of a platform has them"""
    lines: Mapping[Key, int] = field(default_factory=dict)

    @property
    def platform(self) -> PlatformName:
        """The platform whose shipped description applies; ``none`` where the file does not say."""
        return "none" if self.gaia.platform is UNSET else self.gaia.platform

    def source(self, *key: str) -> str:
        """Return where ``key`` is set: ``gaia.toml:12``, or ``default`` for what is shipped."""
        return SHIPPED if self.name == SHIPPED else f"{self.name}:{nearest_line(self.lines, key)}"


@cache
def shipped_file(platform: PlatformName = "none") -> ConfigFile:
    """Return what comes with this package: the settings that follow an environment's name, and below them ``platform``.

    Only the description of a platform has addresses, and permits writing. The sandbox runs Gaia's reference services in
    every project, so Gaia's defaults apply to it in every project.
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
    """Return the project file that ``text`` is; raises ``ConfigError`` with the line, the key and the right name."""
    document = parse(text, name)
    lines = key_lines(text)
    reader = Reader(name, lines, shipped_file().environments)
    environments = reader.environments(document)
    settings, ledger = reader.settings(document), reader.ledger(document)
    return ConfigFile(name, environments, gaia=settings, ledger=ledger, lines=lines)
