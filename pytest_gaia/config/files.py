"""Reading ``gaia.toml`` and the environments as shipped: text → typed tables, with the line of every key."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gaia.config.decoding import decode
from pytest_gaia.config.documents import parse, read_text
from pytest_gaia.config.locate import key_lines, nearest_line
from pytest_gaia.config.reader import Reader
from pytest_gaia.config.schema import EnvironmentTable, GaiaTable, LedgerTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_gaia.config import locate

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
    """laid under every environment; only the shipped file has it"""
    lines: Mapping[locate.Path, int] = field(default_factory=dict)

    def source(self, *key: str) -> str:
        """Return where ``key`` is set: ``gaia.toml:12``, or ``default`` for what is shipped."""
        return SHIPPED if self.name == SHIPPED else f"{self.name}:{nearest_line(self.lines, key)}"


@cache
def shipped_file() -> ConfigFile:
    """Return the environments that come with this package."""
    text = Path(__file__).with_name("platform.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    environments = {name: decode(table, EnvironmentTable) for name, table in document["env"].items()}
    return ConfigFile(SHIPPED, environments, defaults=decode(document["defaults"], EnvironmentTable))


def project_file(path: Path) -> ConfigFile:
    """Return the project file at ``path``; raises ``ConfigError`` that names the line, the key and the right name."""
    text = read_text(path, path.name)
    document = parse(text, path.name)
    lines = key_lines(text)
    reader = Reader(path.name, lines, shipped_file().environments)
    environments = reader.environments(document)
    settings, ledger = reader.settings(document), reader.ledger(document)
    return ConfigFile(path.name, environments, gaia=settings, ledger=ledger, lines=lines)
