"""The errors in a description of services, each with its key."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TypeAlias

from msgspec import UNSET, to_builtins

from pytest_gaia.config import addresses
from pytest_gaia.config.services import (
    SERVICE_NAME,
    TOOLS,
    AuthTable,
    PlatformTable,
    SandboxTable,
    ServiceTable,
    UnitTable,
    kind_of,
    listed,
)
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.files.toml import Key
from pytest_gaia.secrets.shapes import secret_shape

# Names of fixtures that pytest and its common plugins have. A fixture of the same name would replace or shadow them.
_RESERVED = frozenset(
    re.findall(
        r"\w+",
        """
    cache capfd capfdbinary caplog capsys capsysbinary capteesys doctest_namespace event_loop event_loop_policy metadata
    mocker monkeypatch pytestconfig pytester record_property record_testsuite_property record_xml_attribute recwarn
    api_key jwt request services subtests testdir testrun_uid tmp_path tmp_path_factory tmpdir tmpdir_factory unused_tcp_port
    unused_tcp_port_factory unused_udp_port unused_udp_port_factory worker_id
    """,
    )
)
_ONLY_HTTP = (
    "health",
    "healthy",
    "via",
    "routes",
    "probe",
    "error_prefix",
    "auth",
    "openapi",
    "safe",
    "unsafe",
    "max_in_flight",
)
_OPERATION = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|QUERY) (/[^\s?#]*)")
_TEMPLATE = re.compile(r"(/(\{[A-Za-z_]\w*\}|[^/{}]*))+\*?")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_OWN_PLACEHOLDERS = ("port", "host", "stack")
_NAMED_PLACEHOLDERS = ("url", "host", "port")

Errors: TypeAlias = Iterator[tuple[Key, str]]


def check_platform(
    platform: PlatformTable, services: Mapping[str, ServiceTable], declared: Iterable[str], shipped: Iterable[str] = ()
) -> Errors:
    """Yield the errors of a description, as key and problem.

    ``services`` are all services; ``declared`` are those that the project's file has, and only they are checked.
    ``shipped`` are the services of the built-in platform.
    """
    for name in declared:
        key = ("services", name)
        yield from ((key, problem) for problem in _of_name(name))
        yield from (((*key, *place), problem) for place, problem in _of_service(name, services))
        table = services[name]
        kind = kind_of(table)
        if kind != "http":
            for setting in _ONLY_HTTP:
                if getattr(table, setting) is not UNSET:
                    yield (*key, setting), f'only a service of kind "http" has this key; {name} is of kind "{kind}".'
    yield from _of_identifiers(services)
    yield from _of_shared_units(services)
    yield from _of_cycles(services)
    yield from _of_platform(platform, services)


def _of_platform(platform: PlatformTable, services: Mapping[str, ServiceTable]) -> Errors:
    names = tuple(services)
    if platform.entry is not UNSET and platform.entry not in names:
        yield ("platform", "entry"), f"unknown service {platform.entry!r}; {nearest(platform.entry, names)}"
    elif platform.entry is not UNSET and kind_of(services[platform.entry]) != "http":
        yield ("platform", "entry"), f'{platform.entry} is of kind "{kind_of(services[platform.entry])}", not "http".'
    for name in listed(platform.without):
        if name not in names:
            yield ("platform", "without"), f"unknown service {name!r}; {nearest(name, names)}"
    if platform.unit is not UNSET:
        yield from ((("platform", "unit"), each) for each in _of_template(platform.unit, ("app", "service", "env")))


def _of_name(name: str) -> Iterator[str]:
    problem = name_problem(name)
    if problem is not None:
        yield problem


def name_problem(name: str) -> str | None:
    """Return why ``name`` cannot be the name of a service; None if it can."""
    identifier = name.replace("-", "_")
    if not re.fullmatch(SERVICE_NAME, name):
        return "use lower-case letters, digits, '-' and '_' in the name of a service."
    if keyword.iskeyword(identifier) or identifier in _RESERVED or identifier.startswith("gaia"):
        why = (
            "a word of Python" if keyword.iskeyword(identifier) else "reserved (by pytest, its plugins, or `requires`)"
        )
        return (
            f"the name of a service is the name of its fixture, and {identifier!r} is {why}; use another name, "
            f"such as {name}-api."
        )
    return None


def _of_shared_units(services: Mapping[str, ServiceTable]) -> Errors:
    taken: dict[tuple[str, str], str] = {}
    for name, table in services.items():
        for tool in TOOLS:
            unit = getattr(table.deploy, tool) if isinstance(table.deploy, UnitTable) else None
            other = taken.setdefault((tool, unit), name) if isinstance(unit, str) and "{service}" not in unit else name
            if other != name:
                yield (
                    ("services", name, "deploy", tool),
                    f"{other} has the same unit, {unit!r}; each service has its own.",
                )


def _of_identifiers(services: Mapping[str, ServiceTable]) -> Errors:
    taken: dict[str, str] = {}
    for name, table in services.items():
        identifier = name.replace("-", "_")
        for fixture in (identifier, f"{identifier}_fresh") if kind_of(table) == "postgres" else (identifier,):
            other = taken.setdefault(fixture, name)
            if other != name:
                yield (
                    ("services", name),
                    f"{other} and {name} would both have the fixture {fixture}; rename one of them.",
                )


def _of_cycles(services: Mapping[str, ServiceTable]) -> Errors:
    try:
        TopologicalSorter(
            {name: [each for each in listed(table.depends_on) if each != name] for name, table in services.items()}
        ).prepare()
    except CycleError as error:
        # Each one depends on the next.
        circle = list(reversed(error.args[1]))
        yield (
            ("services", circle[0], "depends_on"),
            f"the services form a cycle: {' depends on '.join(circle)}. Remove one of these dependencies.",
        )


def _of_service(name: str, services: Mapping[str, ServiceTable]) -> Errors:
    table = services[name]
    yield from _of_dependencies(name, services)
    if table.variable is not UNSET and not re.fullmatch("[A-Z][A-Z0-9_]*", table.variable):
        yield ("variable",), "use capital letters, digits and '_'."
    if table.health is not UNSET and not table.health.startswith("/"):
        yield ("health",), f"{table.health!r} is not a path; start it with '/'."
    yield from _of_url(table)
    yield from _of_via(name, services)
    yield from _of_routes(table)
    yield from _of_operations(table)
    yield from _of_auth(table)
    if isinstance(table.deploy, UnitTable):
        yield from _of_units(name, table.deploy)
    if isinstance(table.sandbox, SandboxTable):
        yield from ((("sandbox", *key), each) for key, each in _of_sandbox(name, table, table.sandbox, services))
    yield from _of_secrets((), to_builtins(table))


def _of_dependencies(name: str, services: Mapping[str, ServiceTable]) -> Errors:
    for other in listed(services[name].depends_on):
        if other == name:
            yield ("depends_on",), "a service cannot depend on itself."
        elif other not in services:
            yield ("depends_on",), f"unknown service {other!r}; {nearest(other, tuple(services))}"


def _of_units(name: str, table: UnitTable) -> Errors:
    for tool in TOOLS:
        unit = getattr(table, tool)
        if isinstance(unit, str):
            yield from ((("deploy", tool), each) for each in _of_template(unit, ("app", "service", "env")))
            if tool == "kubernetes" and not re.fullmatch(r"(deployment|statefulset|daemonset)/[^/]+", unit):
                yield ("deploy", tool), f"{unit!r} is not a workload; write one such as deployment/{name}."


def _of_url(table: ServiceTable) -> Errors:
    if table.url is UNSET:
        return
    yield from ((("url",), problem) for problem in _of_template(table.url, addresses.PLACEHOLDERS))
    if re.search(r"://[^/?#]*@", table.url):
        yield ("url",), "a URL in a committed file must not contain credentials; it is not shown."
        return
    example = _PLACEHOLDER.sub("x", table.url)
    try:
        addresses.service_url(kind_of(table), example, "")
    except ConfigError as error:
        yield ("url",), str(error).removeprefix(": ")


def _of_via(name: str, services: Mapping[str, ServiceTable]) -> Errors:
    table = services[name]
    if table.via is UNSET:
        for key in ("routes", "probe"):
            if getattr(table, key) is not UNSET:
                yield (key,), f"`{key}` is for a service that is reached through another one; add `via`."
        return
    if table.via not in services:
        yield ("via",), f"unknown service {table.via!r}; {nearest(table.via, tuple(services))}"
    elif table.via == name or services[table.via].via is not UNSET:
        yield ("via",), f"{table.via} is itself reached through another service; name the one that has a URL."
    elif kind_of(services[table.via]) != "http":
        yield ("via",), f'{table.via} is of kind "{kind_of(services[table.via])}", not "http".'


def _of_routes(table: ServiceTable) -> Errors:
    for path, target in (table.routes or {}).items() if isinstance(table.routes, dict) else ():
        if not path.startswith("/") or (target and not target.startswith("/")):
            yield ("routes", path), "write paths, which start with '/'."
        elif not _is_template(path) or (target and not _is_template(target)):
            yield ("routes", path), _BRACES
        elif target and path.endswith("*") != target.endswith("*"):
            yield ("routes", path), "end both paths with '*', or none."
        elif target and not set(_PLACEHOLDER.findall(target)) <= set(_PLACEHOLDER.findall(path)):
            yield ("routes", path), f"{target!r} has a name in braces that {path!r} does not have."


def _of_operations(table: ServiceTable) -> Errors:
    entries = [("probe", table.probe)] if isinstance(table.probe, str) else []
    entries += [(key, each) for key in ("safe", "unsafe") for each in listed(getattr(table, key))]
    for key, text in entries:
        found = _OPERATION.fullmatch(text)
        if found is None:
            yield (key,), f'{text!r} is not an operation; write a method and a path, such as "POST /search".'
        elif not _is_template(found[2]):
            yield (key,), f"{text!r}: {_BRACES}"
        elif key == "safe" and found[1] in ("GET", "HEAD", "OPTIONS"):
            yield (key,), f"{text!r}: every {found[1]} is safe unless it is in `unsafe`; remove it."
        elif key == "unsafe" and found[1] != "GET":
            yield (key,), f"{text!r}: only GET is safe by default, so other methods need no entry; remove it."


_BRACES = "a name in braces is a whole segment of the path, such as /orders/{id}, and occurs once."


def _is_template(path: str) -> bool:
    """Whether each name in braces is a whole segment, and no name occurs twice."""
    names = _PLACEHOLDER.findall(path)
    return _TEMPLATE.fullmatch(path) is not None and len(names) == len(set(names))


def _of_auth(table: ServiceTable) -> Errors:
    if not isinstance(table.auth, AuthTable):
        return
    if not re.fullmatch("[A-Z][A-Z0-9_]*", table.auth.secret):
        yield (
            ("auth", "secret"),
            'expected the end of the name of a variable, such as "API_KEY". Its value belongs in a variable or in .env.',
        )
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", table.auth.header):
        yield ("auth", "header"), "not the name of a header."


def _of_template(text: str, known: Iterable[str]) -> Iterator[str]:
    if set("{}") & set(_PLACEHOLDER.sub("", text)):
        yield f"a brace has no counterpart in {text!r}; placeholders are {', '.join(f'{{{each}}}' for each in known)}."
    yield from addresses.unknown_placeholders(text, tuple(known))


def _of_sandbox(name: str, table: ServiceTable, sandbox: SandboxTable, services: Mapping[str, ServiceTable]) -> Errors:
    kind = kind_of(table)
    if sandbox.command is not UNSET and kind in ("postgres", "nats"):
        yield ("command",), f'the sandbox has a server of kind "{kind}"; remove this key.'
    if sandbox.migrate is not UNSET and kind != "postgres":
        yield ("migrate",), f'only a service of kind "postgres" has this key; {name} is of kind "{kind}".'
    if sandbox.api is not UNSET and sandbox.reference is not True:
        yield ("api",), "only a reference service has this key; remove it."
    if sandbox.reference is True and sandbox.command is not UNSET:
        yield ("command",), "`reference` and `command` exclude each other; keep one."
    env = sandbox.env if isinstance(sandbox.env, dict) else {}
    yield from _of_strings(sandbox, env)
    given = [("command", each) for each in listed(sandbox.command)]
    given += [("migrate", each) for each in listed(sandbox.migrate)]
    given += [("env", each) for each in env.values()]
    for key, text in given:
        for each in _PLACEHOLDER.findall(text):
            yield from (((key,), problem) for problem in _of_sandbox_placeholder(each, key, name, services))


def _of_strings(sandbox: SandboxTable, env: Mapping[str, str]) -> Errors:
    """Yield what no operating system accepts in variables and arguments."""
    for variable, value in env.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
            yield ("env", variable), "not the name of a variable."
        if "\0" in value:
            yield ("env", variable), "contains a null byte."
    for part in (*listed(sandbox.command), *listed(sandbox.migrate)):
        if "\0" in part:
            yield ("command",), "contains a null byte."


def _of_sandbox_placeholder(text: str, key: str, name: str, services: Mapping[str, ServiceTable]) -> Iterator[str]:
    other, dot, what = text.partition(".")
    if not dot and text in _OWN_PLACEHOLDERS:
        return
    if other not in services or not dot:
        known = (*_OWN_PLACEHOLDERS, *(f"{each}.url" for each in services))
        yield f"unknown placeholder {{{text}}}; {nearest(text, known)}"
    elif what not in _NAMED_PLACEHOLDERS:
        yield f"unknown placeholder {{{text}}}; {nearest(what, _NAMED_PLACEHOLDERS)}"
    elif other != name and other not in listed(services[name].depends_on):
        yield f"{{{text}}}: {name} does not depend on {other}; add {other} to its `depends_on`."
    elif key != "env" and what == "url" and kind_of(services[other]) in ("postgres", "nats", "redis", "amqp"):
        yield (
            f"{{{text}}} contains a password, which every user of this machine could read in the list of processes; "
            "pass it in `env`."
        )


def _of_secrets(key: Key, value: object) -> Errors:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _of_secrets((*key, str(name)), each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _of_secrets(key, each)
    elif isinstance(value, str) and secret_shape(value):
        yield key, "contains a secret; secrets belong in a variable or in .env. It is not shown."
