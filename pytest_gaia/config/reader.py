"""Turning the document of a project file into typed tables; every mistake becomes a message with its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import UNSET, Struct

from pytest_gaia.config import addresses
from pytest_gaia.config.decoding import TableError, decode
from pytest_gaia.config.environment import SANDBOX, safe_post
from pytest_gaia.config.locate import nearest_line, shown
from pytest_gaia.config.platform import HTTP_SERVICES
from pytest_gaia.config.schema import EnvironmentTable, GaiaTable, LedgerTable, set_values
from pytest_gaia.config.stage_mistakes import ledger_mistakes, pipeline_mistakes, stage_mistakes
from pytest_gaia.config.tolerance import contradiction
from pytest_gaia.config.variables import variable_name
from pytest_gaia.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pytest_gaia.config.locate import Key

ADHOC = "adhoc"
"""Name of the environment that ``--gaia-url`` makes on its own."""

_TOP = ("gaia", "env", "ledger")
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
"""Keys that people look for in an environment, and the variable that holds them instead."""

Table = TypeVar("Table", bound=Struct)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one document. Every method raises ``ConfigError`` that starts with file, line and key."""

    file: str
    lines: Mapping[Key, int]
    shipped: Mapping[str, EnvironmentTable]
    """the environments that come with this package"""

    def environments(self, document: Mapping[str, Any]) -> dict[str, EnvironmentTable]:
        """Return the environments of ``document``, after a look at what else is in it."""
        for key in document:
            if key in self.shipped:
                raise self._error((key,), f"unknown table; an environment is written [env.{key}].")
            if key not in _TOP:
                raise self._error((key,), f"unknown table; {nearest(key, _TOP)}")
        tables = document.get("env", {})
        if not isinstance(tables, dict):
            raise self._error(("env",), "expected tables, such as [env.preview].")
        environments = {name: self._environment(name, values) for name, values in tables.items()}
        self._refuse(("env",), pipeline_mistakes(environments, self.shipped))
        return environments

    def settings(self, document: Mapping[str, Any]) -> GaiaTable:
        """Return the table ``[gaia]`` of ``document``."""
        table = self._table(("gaia",), document.get("gaia", {}), GaiaTable)
        known = (*self.shipped, *document.get("env", {}))
        if table.environment is not UNSET and table.environment not in known:
            problem = f"unknown environment {table.environment!r}; {nearest(table.environment, known)}"
            raise self._error(("gaia", "environment"), problem)
        return table

    def ledger(self, document: Mapping[str, Any]) -> LedgerTable:
        """Return the table ``[ledger]`` of ``document``."""
        table = self._table(("ledger",), document.get("ledger", {}), LedgerTable)
        self._refuse(("ledger",), ledger_mistakes(table))
        return table

    def _environment(self, name: str, values: object) -> EnvironmentTable:
        key = ("env", name)
        if name == ADHOC:
            raise self._error(key, "this name is taken by the environment that --gaia-url makes on its own.")
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            raise self._error(key, "the name of an environment is lower-case letters, digits and '-'.")
        for setting in values if isinstance(values, dict) else ():
            if setting in _SECRETS:
                raise self._secret_error((*key, setting), _SECRETS[setting])
        table = self._table(key, values, EnvironmentTable)
        self._check_values(key, table)
        self._refuse_deployed_sandbox(key, table)
        self._refuse(key, stage_mistakes(name, table))
        return table

    def _table(self, key: Key, values: object, kind: type[Table]) -> Table:
        if not isinstance(values, dict):
            raise self._error(key, f"expected a table, written [{'.'.join(key)}].")
        try:
            return decode(values, kind)
        except TableError as error:
            raise self._error((*key, *error.key), str(error)) from None

    def _check_values(self, key: Key, table: EnvironmentTable) -> None:
        for setting, text in _addresses(table):
            place = (*key, *setting)
            if key[-1] == SANDBOX:
                raise self._error(place, "the sandbox brings its own addresses; use another environment for others.")
            if re.search(r"://[^/?#]*@", text):
                raise self._secret_error(place, "NATS_URL" if setting == ("nats",) else "API_KEY")
            _CHECKS[setting[0]](text, self._place(place))
        for host in table.hosts if table.hosts is not UNSET else ():
            addresses.host_pattern(host, self._place((*key, "hosts")))
        for entry in table.safe_posts if table.safe_posts is not UNSET else ():
            self._check_safe_post((*key, "safe_posts"), entry)
        self._check_tolerance(key, table)

    def _check_safe_post(self, key: Key, entry: str) -> None:
        service, path = safe_post(entry)
        if not path.startswith("/"):
            raise self._error(
                key, f"{entry!r} is no path: it must start with '/', or with a service, as auth:/path does."
            )
        if service not in HTTP_SERVICES:
            raise self._error(key, f"unknown service {service!r} in {entry!r}; {nearest(service, HTTP_SERVICES)}")

    def _refuse_deployed_sandbox(self, key: Key, table: EnvironmentTable) -> None:
        for setting, value in (("from", table.source), ("deploy", table.deploy)):
            if key[-1] == SANDBOX and value is not UNSET:
                raise self._error((*key, setting), "the sandbox is not deployed; it comes with this package.")

    def _check_tolerance(self, key: Key, table: EnvironmentTable) -> None:
        found = contradiction(key[-1], set_values(table.tolerance))
        if found:
            raise self._error((*key, "tolerance", found[0]), found[1])

    def _refuse(self, key: Key, mistakes: Iterable[tuple[Key, str]]) -> None:
        for place, problem in mistakes:
            raise self._error((*key, *place), problem)

    def _place(self, key: Key) -> str:
        return f"{self.file}:{nearest_line(self.lines, key)}: {shown(key)}"

    def _error(self, key: Key, problem: str) -> ConfigError:
        return ConfigError(f"{self._place(key)}: {problem}")

    def _secret_error(self, key: Key, variable: str) -> ConfigError:
        return self._error(
            key,
            "a secret does not belong in a file that is committed. "
            f"Set {variable_name(key[1], variable)} (or GAIA_{variable}) in the environment or in .env.",
        )


_CHECKS = {"url": addresses.http_template, "urls": addresses.http_url, "nats": addresses.nats_url}


def _addresses(table: EnvironmentTable) -> Iterator[tuple[Key, str]]:
    if table.url is not UNSET:
        yield ("url",), table.url
    if table.nats is not UNSET:
        yield ("nats",), table.nats
    if table.urls is not UNSET:
        for service in table.urls.__struct_fields__:
            text = getattr(table.urls, service)
            if text is not UNSET:
                yield ("urls", service), text
