"""Reading ``gaia.toml`` and the environments as shipped: text → typed tables, with the line of every key."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import UNSET, Struct

from pytest_gaia.config import addresses
from pytest_gaia.config.locate import broken_line, key_lines, nearest_line
from pytest_gaia.config.schema import EnvironmentTable, GaiaTable, TableError, decode
from pytest_gaia.config.secrets import mask_url
from pytest_gaia.config.variables import variable_name
from pytest_gaia.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_gaia.config import locate

SHIPPED = "default"
"""Source of the values that come with this package."""

RESERVED = "adhoc"
"""Name of the environment that ``--gaia-url`` makes on its own."""

_SECRETS = {
    "api_key": "API_KEY",
    "key": "API_KEY",
    "jwt_secret": "JWT_SECRET",
    "secret": "JWT_SECRET",
    "token": "TOKEN",
    "database": "DATABASE_URL",
    "database_url": "DATABASE_URL",
    "dsn": "DATABASE_URL",
    "password": "DATABASE_URL",
}
"""Keys that people expect in an environment, and the variable that holds them instead."""

Table = TypeVar("Table", bound=Struct)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One configuration file, decoded."""

    name: str
    """as messages show it, such as ``gaia.toml``"""
    environments: Mapping[str, EnvironmentTable]
    gaia: GaiaTable = field(default_factory=GaiaTable)
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
    text = _read(path)
    document = _parse(text, path.name)
    lines = key_lines(text)
    reader = _Reader(path.name, lines)
    reader.check_top(document)
    gaia = reader.table(("gaia",), document.get("gaia", {}), GaiaTable)
    environments = {name: reader.environment(name, table) for name, table in reader.mapping(("env",), document).items()}
    return ConfigFile(path.name, environments, gaia=gaia, lines=lines)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns the tables of one document into types; every problem becomes a message with its place."""

    name: str
    lines: Mapping[locate.Path, int]

    def fail(self, key: locate.Path, problem: str) -> ConfigError:
        return ConfigError(f"{self.place(key)}: {'.'.join(key)}: {problem}")

    def place(self, key: locate.Path) -> str:
        return f"{self.name}:{nearest_line(self.lines, key)}"

    def check_top(self, document: Mapping[str, Any]) -> None:
        for key in document:
            if key in ("gaia", "env"):
                continue
            if key in shipped_file().environments:
                raise self.fail((key,), f"unknown table; an environment is written [env.{key}].")
            raise self.fail((key,), f"unknown table; {nearest(key, ('gaia', 'env'))}")

    def mapping(self, key: locate.Path, document: Mapping[str, Any]) -> Mapping[str, Any]:
        tables = document.get(key[-1], {})
        if not isinstance(tables, dict):
            raise self.fail(key, "expected a table, such as [env.preview].")
        return tables

    def table(self, key: locate.Path, values: object, kind: type[Table]) -> Table:
        if not isinstance(values, dict):
            raise self.fail(key, f"expected a table, written [{'.'.join(key)}].")
        try:
            return decode(values, kind)
        except TableError as error:
            raise self.fail((*key, *error.key), str(error)) from None

    def environment(self, name: str, values: object) -> EnvironmentTable:
        key = ("env", name)
        if name == RESERVED:
            raise self.fail(key, "this name is taken by the environment that --gaia-url makes on its own.")
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            raise self.fail(key, "the name of an environment is lower-case letters, digits and '-'.")
        self._refuse_secrets(key, values)
        table = self.table(key, values, EnvironmentTable)
        self._check_addresses(key, table)
        return table

    def _refuse_secrets(self, key: locate.Path, values: object) -> None:
        for name in values if isinstance(values, dict) else ():
            if name in _SECRETS:
                raise self.fail((*key, name), self._secrets_belong(key[-1], _SECRETS[name]))

    def _secrets_belong(self, environment: str, variable: str) -> str:
        return (
            "a secret does not belong in a file that is committed. "
            f"Set {variable_name(environment, variable)} (or GAIA_{variable}) in the environment or in .env."
        )

    def _check_addresses(self, key: locate.Path, table: EnvironmentTable) -> None:
        if key[-1] == "sandbox" and (table.url, table.urls, table.nats) != (UNSET, UNSET, UNSET):
            raise self.fail(key, "the sandbox brings its own addresses; use another environment for other ones.")
        for setting in ("url", "nats"):
            text = getattr(table, setting)
            if text is UNSET:
                continue
            if mask_url(text) != text:
                variable = "NATS_URL" if setting == "nats" else "API_KEY"
                raise self.fail((*key, setting), self._secrets_belong(key[-1], variable))
            check = addresses.nats_url if setting == "nats" else addresses.http_template
            check(text, f"{self.place((*key, setting))}: {'.'.join((*key, setting))}")
        if table.urls is not UNSET:
            for service in table.urls.__struct_fields__:
                text = getattr(table.urls, service)
                if text is not UNSET:
                    at = (*key, "urls", service)
                    addresses.http_url(text, f"{self.place(at)}: {'.'.join(at)}")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name}: not UTF-8 (byte {error.start}); save the file as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{path.name}: cannot be read: {error.strerror}.") from None


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = re.sub(r" \(at .*\)$", "", str(error))
        raise ConfigError(f"{name}:{broken_line(text, error)}: not valid TOML: {problem}.") from None
