"""Decode and check the settings of a project; every error message has file, line and key."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias, TypeVar

from msgspec import UNSET, Struct

from pytest_gaia.config import addresses
from pytest_gaia.config.environment import SANDBOX, safe_post
from pytest_gaia.config.platform import HTTP_SERVICES
from pytest_gaia.config.project import PYPROJECT_FILE
from pytest_gaia.config.schema import (
    ENVIRONMENT_NAME,
    EnvironmentTable,
    FreezeTable,
    GaiaTable,
    LedgerTable,
    SloTable,
    StageTable,
    set_values,
)
from pytest_gaia.config.stages import MACHINE_ROLE, duration
from pytest_gaia.config.tolerance import PRODUCTION, contradiction
from pytest_gaia.config.variables import variable_name
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.files.decoding import TableError, decode
from pytest_gaia.files.toml import Key, nearest_line, shown

ADHOC = "adhoc"
"""Name of the environment that ``--gaia-url`` creates."""

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
"""Keys that users may expect in an environment, and the variable to use instead."""

Table = TypeVar("Table", bound=Struct)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reader of one document. Every method raises ``ConfigError`` with file, line and key."""

    file: str
    lines: Mapping[Key, int]
    shipped: Mapping[str, EnvironmentTable]
    """the built-in environments"""

    def environments(self, document: Mapping[str, Any]) -> dict[str, EnvironmentTable]:
        """Return the environments of ``document``. Also checks for unknown tables."""
        for key in document:
            if key in self.shipped:
                raise self._error((key,), f"unknown table; write an environment as [{self._shown(('env', key))}].")
            if key not in _TOP:
                raise self._error((key,), f"unknown table; {nearest(key, _TOP)}")
        tables = document.get("env", {})
        if not isinstance(tables, dict):
            raise self._error(("env",), "expected tables, such as [env.preview].")
        environments = {name: self._environment(name, values) for name, values in tables.items()}
        self._refuse(("env",), pipeline_usage_errors(environments, self.shipped))
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
        self._refuse(("ledger",), ledger_usage_errors(table))
        return table

    def _environment(self, name: str, values: object) -> EnvironmentTable:
        key = ("env", name)
        if name == ADHOC:
            raise self._error(key, "this name is reserved for the environment of --gaia-url.")
        if not re.fullmatch(ENVIRONMENT_NAME, name):
            raise self._error(key, "use lower-case letters, digits and '-' in the name of an environment.")
        for setting in values if isinstance(values, dict) else ():
            if setting in _SECRETS:
                raise self._secret_error((*key, setting), _SECRETS[setting])
        table = self._table(key, values, EnvironmentTable)
        self._check_values(key, table)
        self._refuse_deployed_sandbox(key, table)
        self._refuse(key, stage_usage_errors(name, table))
        return table

    def _table(self, key: Key, values: object, kind: type[Table]) -> Table:
        if not isinstance(values, dict):
            raise self._error(key, f"expected a table, written [{self._shown(key)}].")
        try:
            return decode(values, kind)
        except TableError as error:
            raise self._error((*key, *error.key), str(error)) from None

    def _check_values(self, key: Key, table: EnvironmentTable) -> None:
        for setting, text in _addresses(table):
            place = (*key, *setting)
            if key[-1] == SANDBOX:
                raise self._error(place, "the sandbox has its own addresses; use another environment for this one.")
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
                key, f"{entry!r} is not a path; start it with '/', or with a service, such as auth:/path."
            )
        if service not in HTTP_SERVICES:
            raise self._error(key, f"unknown service {service!r} in {entry!r}; {nearest(service, HTTP_SERVICES)}")

    def _refuse_deployed_sandbox(self, key: Key, table: EnvironmentTable) -> None:
        for setting, value in (("from", table.source), ("deploy", table.deploy)):
            if key[-1] == SANDBOX and value is not UNSET:
                raise self._error((*key, setting), "the sandbox cannot be deployed; remove this key.")

    def _check_tolerance(self, key: Key, table: EnvironmentTable) -> None:
        found = contradiction(key[-1], set_values(table.tolerance))
        if found:
            raise self._error((*key, "tolerance", found[0]), found[1])

    def _refuse(self, key: Key, usage_errors: Iterable[tuple[Key, str]]) -> None:
        for place, problem in usage_errors:
            raise self._error((*key, *place), problem)

    def _shown(self, key: Key) -> str:
        """Return ``key`` as the file spells it: in ``pyproject.toml``, everything is below ``tool.gaia``."""
        if self.file != PYPROJECT_FILE:
            return shown(key)
        return shown(("tool", "gaia", *(key[1:] if key[0] == "gaia" else key)))

    def _place(self, key: Key) -> str:
        return f"{self.file}:{nearest_line(self.lines, key)}: {self._shown(key)}"

    def _error(self, key: Key, problem: str) -> ConfigError:
        return ConfigError(f"{self._place(key)}: {problem}")

    def _secret_error(self, key: Key, variable: str) -> ConfigError:
        return self._error(
            key,
            "secrets do not belong in a committed file. "
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


UsageErrors: TypeAlias = Iterator[tuple[Key, str]]

_ROUTE = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /\S*")
_REFERENCE = re.compile(r"refs/(?!heads/|tags/)[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)+")
_LEAST_AGE = timedelta(minutes=1)


def stage_usage_errors(name: str, table: EnvironmentTable) -> UsageErrors:
    """Yield the errors in the stage and the objectives of the environment ``name``."""
    stage = table.stage
    if isinstance(stage, StageTable):
        if name == SANDBOX:
            yield ("stage",), "the sandbox cannot be a stage of a release."
        yield from ((("stage", *key), problem) for key, problem in _of_stage(name, stage))
    yield from _of_objectives(table.slo if isinstance(table.slo, tuple) else ())


def pipeline_usage_errors(
    project: Mapping[str, EnvironmentTable], shipped: Mapping[str, EnvironmentTable]
) -> UsageErrors:
    """Yield the errors in the order of the stages: unknown environments and cycles."""
    known = tuple(name for name in dict.fromkeys((*shipped, *project)) if name != SANDBOX)
    before = {name: _previous(shipped.get(name)) for name in known}
    before |= {name: stated for name in project if (stated := _previous(project[name])) is not None}
    for name, table in project.items():
        previous = _previous(table)
        if previous and previous not in known:
            why = (
                "the sandbox cannot be a stage of a release"
                if previous == SANDBOX
                else f"unknown environment {previous!r}"
            )
            yield (name, "stage", "promote_from"), f"{why}; {nearest(previous, known)}"
        if previous and name in (way := _way_back(name, before)):
            circle = " from ".join((name, *way))
            yield (
                (name, "stage", "promote_from"),
                f"the stages form a cycle: {circle}. The first stage has no `promote_from`.",
            )


def ledger_usage_errors(table: LedgerTable) -> UsageErrors:
    """Yield the errors in ``[ledger]``."""
    if table.git is not UNSET and not _REFERENCE.fullmatch(table.git):
        yield (
            ("git",),
            f"{table.git!r} is not a valid reference; write one such as refs/gaia/ledger (not a branch or a tag).",
        )
    if table.git is not UNSET and table.path is not UNSET:
        yield ("path",), "`path` and `git` exclude each other; keep one."
    if table.remote is not UNSET and table.git is UNSET:
        yield ("remote",), 'a remote needs a ledger in git; add git = "refs/gaia/ledger".'


def _of_stage(name: str, stage: StageTable) -> UsageErrors:
    if stage.previous == name:
        yield ("promote_from",), "a stage cannot follow itself."
    if name == PRODUCTION and stage.require_signed is False:
        yield ("require_signed",), f"{PRODUCTION} always requires signed evidence; remove this key."
    if name == PRODUCTION and stage.previous == "":
        yield ("promote_from",), f"{PRODUCTION} needs a stage before it; name that environment."
    if isinstance(stage.sign, tuple) and MACHINE_ROLE in stage.sign:
        yield ("required_approvals",), f"{MACHINE_ROLE} is the role of machines; use another role for approvals."
    for key, text, least in (
        ("soak", stage.soak, timedelta(0)),
        ("max_evidence_age", stage.evidence_age, _LEAST_AGE),
    ):
        if isinstance(text, str):
            yield from (((key,), problem) for problem in _of_duration(text, least))
    for number, freeze in enumerate(stage.freeze if isinstance(stage.freeze, tuple) else ()):
        yield from ((("freeze", f"[{number}]", *key), problem) for key, problem in _of_freeze(freeze))


def _of_duration(text: str, least: timedelta) -> Iterator[str]:
    try:
        found = duration(text)
    except ValueError as error:
        yield str(error)
        return
    if found < least:
        yield f"{text!r} is too short; use at least one minute."


def _of_freeze(freeze: FreezeTable) -> UsageErrors:
    for key, moment in (("from", freeze.begins), ("until", freeze.until)):
        if moment.tzinfo is None:
            yield (key,), f"add the time zone, such as {moment.isoformat()}Z."
            return
    if freeze.until <= freeze.begins:
        yield ("until",), "the end must be after the beginning."


def _of_objectives(objectives: tuple[SloTable, ...]) -> UsageErrors:
    seen: set[tuple[str, object]] = set()
    for number, each in enumerate(objectives):
        place = ("slo", f"[{number}]")
        if not _ROUTE.fullmatch(each.route):
            yield (*place, "route"), f'{each.route!r} is not a route; write a method and a path, such as "GET /health".'
        if each.warn_ms is not UNSET and each.warn_ms >= each.fail_ms:
            yield (*place, "warn_ms"), f"must be less than fail_ms, {each.fail_ms:g}."
        if (each.route, each.percentile) in seen:
            yield (*place, "route"), f"{each.route} has two objectives for the same percentile; keep one."
        seen.add((each.route, each.percentile))


def _previous(table: EnvironmentTable | None) -> str | None:
    stage = table.stage if table is not None else UNSET
    return stage.previous if isinstance(stage, StageTable) and isinstance(stage.previous, str) else None


def _way_back(name: str, before: Mapping[str, str | None]) -> tuple[str, ...]:
    """Return the stages before ``name``, nearest first, up to the first or to one that was passed already."""
    way: list[str] = []
    previous = before.get(name)
    while previous and previous not in way:
        way.append(previous)
        previous = before.get(previous)
    return tuple(way)
