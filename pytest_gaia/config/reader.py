"""Decode and check the settings of a project; every error message has file, line and key."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeAlias

from msgspec import UNSET, structs

from pytest_gaia.config import addresses
from pytest_gaia.config.environment import SANDBOX, Role
from pytest_gaia.config.platform import DISABLED, Platform
from pytest_gaia.config.project import PYPROJECT_FILE
from pytest_gaia.config.schema import (
    ENVIRONMENT_NAME,
    DeployTable,
    EnvironmentTable,
    FreezeTable,
    GaiaTable,
    LedgerTable,
    SloTable,
    StageTable,
    Table,
    overlay,
    set_values,
)
from pytest_gaia.config.services import PlatformTable, SandboxTable, ServiceTable, kind_of, listed, unknown_service
from pytest_gaia.config.stages import (
    LEAST_SOAK,
    MACHINE_ROLE,
    MAX_EVIDENCE_AGE,
    MAX_EVIDENCE_AGE_OF_PRODUCTION,
    duration,
)
from pytest_gaia.config.tolerance import PRODUCTION, contradiction
from pytest_gaia.config.variables import ambiguous_variables, variable_name
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.files.decoding import TableError, decode
from pytest_gaia.files.toml import Key, nearest_line, shown
from pytest_gaia.wording import note_renamed

ADHOC = "adhoc"
"""Name of the environment that ``--gaia-url`` creates."""

_TOP = ("gaia", "platform", "services", "env", "ledger")
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

UsageErrors: TypeAlias = Iterator[tuple[Key, str]]

ROLES: tuple[Role, ...] = ("local", "dev", "staging", "production")


@dataclass(frozen=True, slots=True)
class Reader:
    """Reader of one document. Every method raises ``ConfigError`` with file, line and key."""

    file: str
    lines: dict[Key, int]
    """lines of keys; gets those of keys with old names, too"""
    shipped: Mapping[str, EnvironmentTable]
    """the built-in environments"""

    def platform(
        self, document: Mapping[str, Any], below: PlatformTable, services: Mapping[str, ServiceTable]
    ) -> tuple[PlatformTable, dict[str, ServiceTable]]:
        """Return ``[platform]`` and ``[services]`` of ``document``, over those of the built-in platform."""
        own = {
            name: self._service(name, values, services) for name, values in self._tables("services", document).items()
        }
        merged = {
            **services,
            **{name: _over(services.get(name, ServiceTable()), table) for name, table in own.items()},
        }
        # A service that the project describes is part of it.
        kept = tuple(name for name in listed(below.without) if name not in own)
        below = structs.replace(below, without=kept)
        table = overlay(below, self._table(("platform",), document.get("platform", {}), PlatformTable))
        if own or "platform" in document:
            # Imported here, because the built-in description needs no check.
            from pytest_gaia.config.platforms.check import check_platform

            self._refuse((), check_platform(table, merged, own))
        return table, merged

    def _service(self, name: str, values: object, shipped: Mapping[str, ServiceTable]) -> ServiceTable:
        key = ("services", name)
        for setting in values if isinstance(values, dict) else ():
            if setting in _SECRETS and setting not in ServiceTable.__struct_fields__:
                variable = f"{name.upper().replace('-', '_')}_{_SECRETS[setting].removeprefix('DATABASE_')}"
                raise self._error(
                    (*key, setting),
                    f"secrets do not belong in a committed file. Set GAIA_<ENV>_{variable} (or GAIA_{variable}) in the "
                    "environment or in .env.",
                )
        table = self._table(key, values, ServiceTable)
        below = shipped.get(name)
        if below is not None and table.kind not in (UNSET, kind_of(below)):
            problem = f'{name} is a built-in service of kind "{kind_of(below)}"; use another name for this one.'
            raise self._error((*key, "kind"), problem)
        return table

    def _tables(self, key: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
        tables = document.get(key, {})
        if not isinstance(tables, dict):
            raise self._error((key,), f"expected tables, such as [{key}.{'preview' if key == 'env' else 'orders'}].")
        return tables

    def check_top(self, document: Mapping[str, Any]) -> None:
        """Refuse unknown tables."""
        for key in document:
            if key in self.shipped:
                raise self._error((key,), f"unknown table; write an environment as [{self._shown(('env', key))}].")
            if key not in _TOP:
                raise self._error((key,), f"unknown table; {nearest(key, _TOP)}")

    def environments(
        self, document: Mapping[str, Any], platform: Platform, below: Iterable[str] = ()
    ) -> dict[str, EnvironmentTable]:
        """Return the environments of ``document``; ``below`` are those of its built-in platform."""
        tables = self._tables("env", document)
        environments = {name: self._environment(name, values, platform) for name, values in tables.items()}
        self._refuse(("env",), pipeline_usage_errors(environments, self.shipped, below))
        self._refuse((), ambiguous_variables((*self.shipped, *environments), platform))
        return environments

    def settings(self, document: Mapping[str, Any]) -> GaiaTable:
        """Return the table ``[gaia]`` of ``document``."""
        table = self._table(("gaia",), document.get("gaia", {}), GaiaTable)
        known = (*self.shipped, *self._tables("env", document))
        if table.environment is not UNSET and table.environment not in known:
            problem = f"unknown environment {table.environment!r}; {nearest(table.environment, known)}"
            raise self._error(("gaia", "environment"), problem)
        return table

    def ledger(self, document: Mapping[str, Any]) -> LedgerTable:
        """Return the table ``[ledger]`` of ``document``."""
        table = self._table(("ledger",), document.get("ledger", {}), LedgerTable)
        self._refuse(("ledger",), ledger_usage_errors(table))
        return table

    def _environment(self, name: str, values: object, platform: Platform) -> EnvironmentTable:
        key = ("env", name)
        if name == ADHOC:
            raise self._error(key, "this name is reserved for the environment of --gaia-url.")
        if not re.fullmatch(ENVIRONMENT_NAME, name):
            raise self._error(key, "use lower-case letters, digits and '-' in the name of an environment.")
        for setting in values if isinstance(values, dict) else ():
            if setting in _SECRETS:
                raise self._secret_error((*key, setting), _SECRETS[setting])
        if isinstance(values, dict):
            values = self._with_old_keys(key, values, platform)
        table = self._table(key, values, EnvironmentTable)
        role = "" if table.role is UNSET else table.role
        if name in ROLES and role not in ("", name):
            raise self._error((*key, "role"), f"the role of an environment with this name is {name}; remove this key.")
        self._check_services(key, table, platform)
        self._check_values(key, table, platform)
        self._check_tolerance(key, table)
        self._refuse_deployed_sandbox(key, table)
        self._refuse(key, stage_usage_errors(role_of(name, table), table, name))
        return table

    def _with_old_keys(self, key: Key, values: dict[str, Any], platform: Platform) -> dict[str, Any]:
        """Return ``values`` with today's keys in place of those for one platform, and print a notice for each."""
        found = dict(values)
        if "safe_posts" in found:
            todo = 'write safe = ["POST /path"] in the [services.NAME] that receives the request.'
            raise self._error((*key, "safe_posts"), f"safe requests now belong to a service; {todo}")
        topology = found.pop("topology", None)
        if topology is not None:
            few = tuple(name for name in platform if name == platform.entry or platform[name].kind == "postgres")
            services = {"gateway-only": few, "microservices": platform.names}.get(str(topology))
            if services is None:
                raise self._error((*key, "topology"), f"unknown key; list the services of {key[-1]} in `services`.")
            note_renamed(f'topology = "{topology}"', f"services = {list(services)}", self._line((*key, "topology")))
            found.setdefault("services", list(services))
            self.lines.setdefault((*key, "services"), nearest_line(self.lines, (*key, "topology")))
        if "nats" in found and "nats" not in platform:
            todo = 'remove this key, or add [services.nats] with kind = "nats".'
            raise self._error((*key, "nats"), f"the project declares no service of this name; {todo}")
        if "nats" in found and isinstance(found.get("urls", {}), dict):
            note_renamed("the key `nats`", f"`urls.nats` of [env.{key[-1]}]", self._line((*key, "nats")))
            found["urls"] = {"nats": found.pop("nats"), **found.get("urls", {})}
            self.lines[(*key, "urls", "nats")] = nearest_line(self.lines, (*key, "nats"))
        return found

    def _check_services(self, key: Key, table: EnvironmentTable, platform: Platform) -> None:
        listed = {
            ("services",): table.services,
            ("without",): table.without,
            ("required",): table.required,
            ("deploy", "services"): table.deploy.services if isinstance(table.deploy, DeployTable) else UNSET,
            ("stage", "services"): table.stage.services if isinstance(table.stage, StageTable) else UNSET,
            ("urls",): tuple(table.urls) if isinstance(table.urls, dict) else UNSET,
        }
        for place, names in listed.items():
            for name in names if isinstance(names, tuple) else ():
                if name not in platform:
                    where = (*key, *place, name) if place == ("urls",) else (*key, *place)
                    raise self._error(where, unknown_service(name, platform))
        if table.services is not UNSET and table.without is not UNSET:
            raise self._error((*key, "without"), "`services` and `without` exclude each other; keep one.")

    def _table(self, key: Key, values: object, kind: type[Table]) -> Table:
        if not isinstance(values, dict):
            raise self._error(key, f"expected a table, written [{self._shown(key)}].")
        try:
            return decode(values, kind)
        except TableError as error:
            raise self._error((*key, *error.key), str(error)) from None

    def _check_values(self, key: Key, table: EnvironmentTable, platform: Platform) -> None:
        for setting, text in _addresses(table):
            place = (*key, *setting)
            if key[-1] == SANDBOX:
                raise self._error(place, "the sandbox has its own addresses; use another environment for this one.")
            service = platform[setting[1]] if setting[0] == "urls" else None
            if re.search(r"://[^/?#]*@", text):
                is_http = service is None or service.is_http
                raise self._secret_error(place, "API_KEY" if is_http or service is None else f"{service.variable}_URL")
            if service is None and platform.entry is None:
                problem = "the project declares no HTTP service that this URL could belong to; add [services.NAME]"
                raise self._error(
                    place, f'{problem}. To test the Gaia Platform, add platform = "gaia" to [gaia] instead.'
                )
            if service is None:
                addresses.http_template(text, self._place(place))
            elif service.kind == "postgres" and text != DISABLED:
                addresses.service_url(service.kind, text, self._place(place))
                raise self._secret_error(place, f"{service.variable}_URL")
            else:
                addresses.service_url(service.kind, text, self._place(place))
        for host in table.hosts if table.hosts is not UNSET else ():
            addresses.host_pattern(host, self._place((*key, "hosts")))

    def _refuse_deployed_sandbox(self, key: Key, table: EnvironmentTable) -> None:
        for setting, value in (("from", table.source), ("deploy", table.deploy)):
            if key[-1] == SANDBOX and value is not UNSET:
                raise self._error((*key, setting), "the sandbox cannot be deployed; remove this key.")

    def _check_tolerance(self, key: Key, table: EnvironmentTable) -> None:
        found = contradiction(role_of(key[-1], table), set_values(table.tolerance))
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

    def _line(self, key: Key) -> str:
        return f"{self.file}:{nearest_line(self.lines, key)}"

    def _place(self, key: Key) -> str:
        return f"{self._line(key)}: {self._shown(key)}"

    def _error(self, key: Key, problem: str) -> ConfigError:
        return ConfigError(f"{self._place(key)}: {problem}")

    def _secret_error(self, key: Key, variable: str) -> ConfigError:
        return self._error(
            key,
            "secrets do not belong in a committed file. "
            f"Set {variable_name(key[1], variable)} (or GAIA_{variable}) in the environment or in .env.",
        )


def _over(below: ServiceTable, own: ServiceTable) -> ServiceTable:
    """Return the description of a service over the built-in one. A command replaces a reference service."""
    if isinstance(own.sandbox, SandboxTable) and own.sandbox.command is not UNSET:
        below = structs.replace(below, sandbox=UNSET)
    return overlay(below, own)


def role_of(name: str, table: EnvironmentTable) -> Role | Literal[""]:
    """Return the role of the environment ``name``: its own, or its name if that is a role; otherwise an empty string."""
    if table.role is not UNSET:
        return table.role
    return next((role for role in ROLES if role == name), "")


def _addresses(table: EnvironmentTable) -> Iterator[tuple[Key, str]]:
    if table.url is not UNSET:
        yield ("url",), table.url
    if table.urls is not UNSET:
        yield from ((("urls", service), text) for service, text in table.urls.items())


_ROUTE = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /\S*")
_REFERENCE = re.compile(r"refs/(?!heads/|tags/)[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)+")
_LEAST_AGE = timedelta(minutes=1)


def stage_usage_errors(role: str, table: EnvironmentTable, name: str) -> UsageErrors:
    """Yield the errors in the stage and the objectives of the environment ``name`` with ``role``."""
    stage = table.stage
    if role == PRODUCTION != name and not (isinstance(stage, StageTable) and isinstance(stage.previous, str)):
        yield ("stage", "promote_from"), f"an environment with the role {PRODUCTION} needs a stage before it; name it."
    if isinstance(stage, StageTable):
        if name == SANDBOX:
            yield ("stage",), "the sandbox cannot be a stage of a release."
        here = table.loopback is True
        yield from ((("stage", *key), problem) for key, problem in _of_stage(role, stage, name, here=here))
    yield from _of_objectives(table.slo if isinstance(table.slo, tuple) else ())


def pipeline_usage_errors(
    project: Mapping[str, EnvironmentTable], shipped: Mapping[str, EnvironmentTable], below: Iterable[str] = ()
) -> UsageErrors:
    """Yield the errors in the order of the stages: unknown environments, cycles, and stages that are skipped.

    ``below`` are the environments of the built-in platform, which exist although the project does not name them.
    """
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
    existing = {each: role_of(each, project.get(each, EnvironmentTable())) for each in (*below, *project)}
    for name in (each for each, table in project.items() if _previous(table)):
        if skipped := _skipped(name, existing, _way_back(name, before)):
            problem = f"{before[name]} is before {skipped[0]}, which {name} must not skip; promote from {' or '.join(skipped)}."
            yield (name, "stage", "promote_from"), problem


def _skipped(name: str, existing: Mapping[str, str], way: tuple[str, ...]) -> list[str]:
    """Return the environments with the nearest lower role, if a release reaches ``name`` without any of them."""
    earlier = ROLES[: ROLES.index(existing[name])] if existing[name] in ROLES else ()
    for role in reversed(earlier):
        if nearest_ones := [each for each in existing if existing[each] == role]:
            return [] if set(nearest_ones) & set(way) else nearest_ones
    return []


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


def _of_stage(role: str, stage: StageTable, name: str, *, here: bool) -> UsageErrors:
    if stage.previous == name:
        yield ("promote_from",), "a stage cannot follow itself."
    if role == PRODUCTION and stage.require_signed is False:
        yield ("require_signed",), f"{PRODUCTION} always requires signed evidence; remove this key."
    if role == PRODUCTION and stage.previous == "":
        yield ("promote_from",), f"{PRODUCTION} needs a stage before it; name that environment."
    if isinstance(stage.sign, tuple) and MACHINE_ROLE in stage.sign:
        yield ("required_approvals",), f"{MACHINE_ROLE} is the role of machines; use another role for approvals."
    is_real = role == PRODUCTION and not here
    oldest = MAX_EVIDENCE_AGE_OF_PRODUCTION if role == PRODUCTION else MAX_EVIDENCE_AGE
    for key, text, least, most in (
        ("soak", stage.soak, LEAST_SOAK if is_real else timedelta(0), timedelta.max),
        ("max_evidence_age", stage.evidence_age, _LEAST_AGE, oldest),
    ):
        if isinstance(text, str):
            yield from (((key,), problem) for problem in _of_duration(text, least, most))
    for number, freeze in enumerate(stage.freeze if isinstance(stage.freeze, tuple) else ()):
        yield from ((("freeze", f"[{number}]", *key), problem) for key, problem in _of_freeze(freeze))


def _of_duration(text: str, least: timedelta, most: timedelta) -> Iterator[str]:
    try:
        found = duration(text)
    except ValueError as error:
        yield str(error)
        return
    if found < least:
        shortest = "one minute" if least < LEAST_SOAK else "one hour before production (none with loopback = true)"
        yield f"{text!r} is too short; use at least {shortest}."
    if found > most:
        yield f"{text!r} is too long; use at most {most.days} days ({most.days}d)."


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
