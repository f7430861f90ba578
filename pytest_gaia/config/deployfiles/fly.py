"""Read a ``fly.*.toml`` file, as flyctl does."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

from pytest_gaia.config.deployfiles.model import DEFAULT_GROUP, App, Autostop, Check, Form, Served, Size
from pytest_gaia.config.deployfiles.values import Table, shown_type, written_out
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.toml import parse, toml_comments, toml_places

_MEMORY_OF_SHARED_CPU, _MEMORY_OF_CPU = 256, 2048
SIZES: dict[str, tuple[str, int, int]] = {
    **{f"shared-cpu-{count}x": ("shared", count, count * _MEMORY_OF_SHARED_CPU) for count in (1, 2, 4, 6, 8)},
    **{f"performance-{count}x": ("performance", count, count * _MEMORY_OF_CPU) for count in (1, *range(2, 17, 2))},
    **dict.fromkeys(("a10", "l40s", "a100-40gb", "a100-80gb"), ("performance", 8, 16 * _MEMORY_OF_CPU)),
}
"""Fly's names of machine sizes → kind of CPU, number of CPUs, memory in MB"""

_DEFAULT_SIZE = "shared-cpu-1x"


def app_of(text: str, path: Path, name: str, *, service: str, environment: str, form: Form) -> App:
    """Return the app of the file at ``path``, which holds ``text``; messages and places call it ``name``.

    Raises ``ConfigError`` that names file, line and key for a file that cannot be understood.
    """
    top, comments = table_of(text, path, name)
    app_name = top.text("app")
    if not app_name:
        raise top.error("app", 'the name of the app is missing; write app = "gaia-…" at the top of the file.')
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", app_name):
        raise top.error("app", f"{app_name!r} is not a valid name of an app; use lower-case letters, digits and '-'.")
    build, deploy = top.table("build"), top.table("deploy")
    groups = process_groups(top)
    served, loose = served_ports(top, groups)
    sizes = _sizes(top, groups)
    app = App(
        service=service,
        environment=environment,
        form=form,
        name=app_name,
        path=path,
        image=build.text("image"),
        dockerfile=build.text("dockerfile"),
        region=top.text("primary_region"),
        env=top.texts("env"),
        served=served,
        loose_checks=loose,
        groups=groups,
        sizes=sizes,
        strategy=deploy.text("strategy"),
        release_command=deploy.text("release_command") or None,
        places=top.places,
        comments=comments,
        document=top.values,
    )
    main = sizes.get(app.serving_group or DEFAULT_GROUP)
    return replace(app, memory_mb=main.memory_mb, cpus=main.cpus, cpu_kind=main.cpu_kind) if main else app


def table_of(text: str, path: Path, name: str) -> tuple[Table, dict[int, str]]:
    """Return what the file at ``path`` holds, and line → comment on it. Raises ``ConfigError`` as ``app_of`` does."""
    if path.suffix == ".toml":
        return Table(name, parse(text, name), toml_places(text, name)), toml_comments(text)
    # PyYAML is only for those who write their files in YAML or JSON.
    from pytest_gaia.files.yaml import read_yaml, yaml_comments

    # JSON is YAML but for tabs, which no string of it can hold.
    text = text.expandtabs() if path.suffix == ".json" else text
    document, places = read_yaml(text, name)
    if not isinstance(document, dict):
        raise ConfigError(f"{name}:1: expected the settings of an app, got {shown_type(document)}.")
    return Table(name, document, places), yaml_comments(text)


def _sizes(top: Table, groups: tuple[str, ...]) -> dict[str, Size]:
    """Return process group → what its machines are given; a group that the file leaves to ``fly scale`` is missing."""
    tables = [(each, groups_of(each)) for each in top.tables("vm")]
    found = {}
    for group in groups:
        # flyctl takes the last [[vm]] that names the group, or else the first that names none.
        own = [table for table, named in tables if group in named] or [
            table for table, named in tables[::-1] if not named
        ]
        if own:
            found[group] = _size(own[-1])
    return found


def _size(table: Table) -> Size:
    kind, cpus, memory = SIZES.get(table.text("size") or _DEFAULT_SIZE, (None, None, None))
    key = next((key for key in ("memory_mb", "memory", "size") if key in table.values), None)
    # flyctl lets memory_mb win over memory, and both over the size.
    return Size(
        memory_mb=table.whole("memory_mb") or table.megabytes("memory") or memory,
        cpus=table.whole("cpus") or cpus,
        cpu_kind=table.text("cpu_kind") or kind,
        place=table.place(key) if key else table.place(),
    )


NANOSECOND, _MILLISECOND = 1e-9, 1e-3
"""units of a plain number in a duration of flyctl, in seconds: Go counts nanoseconds, and flyctl converts only the numbers in
[checks] and [[services]]"""

_HTTP_PORTS = (80, 443)
_KINDS = ("http", "tcp", "script")
_LAST_PORT = 65535
_DEFAULT_PORT = 8080
"""where flyctl expects a service that names no ``internal_port``"""


def process_groups(top: Table) -> tuple[str, ...]:
    """Return the names of the process groups, that of tables that name none first."""
    given = top.values.get("processes")
    # Files that flyctl has generated long ago have an empty list.
    names = tuple(top.table("processes").values) if given else ()
    default = min(names) if names and DEFAULT_GROUP not in names else DEFAULT_GROUP
    return default, *(name for name in names if name != default)


def groups_of(table: Table) -> tuple[str, ...]:
    """Return the process groups that ``table`` names."""
    given = table.values.get("processes")
    return (given,) if isinstance(given, str) else tuple(map(written_out, table.list("processes")))


def served_ports(top: Table, groups: tuple[str, ...]) -> tuple[tuple[Served, ...], tuple[Check, ...]]:
    """Return the ports that the file serves, each with its checks, and the checks that are on none of them.

    A table that names no process group is for the first of ``groups``.
    """
    default = groups[:1]
    served = [_http_service(each, default) for each in _http_tables(top)]
    loose: list[Check] = []
    for table in top.tables("services"):
        checks = _service_checks(table)
        if table.whole("internal_port") is None and not table.tables("ports"):
            # [[services.http_checks]] next to [http_service] creates a separate service that serves nothing.
            loose += checks
        else:
            served.append(_service(table, checks, default))
    for check in _top_checks(top, served, default):
        ports = ((at, each) for at, each in enumerate(served) if set(each.groups) & set(check.groups))
        owner = next((at for at, each in ports if each.internal_port == check.port), None)
        if owner is None or check.port is None:
            loose.append(check)
        else:
            served[owner] = replace(served[owner], checks=(*served[owner].checks, check))
    return tuple(served), tuple(loose)


def _http_tables(top: Table) -> list[Table]:
    return [top.table("http_service")] if "http_service" in top.values else []


def _http_service(table: Table, default: tuple[str, ...]) -> Served:
    return Served(
        kind="http_service",
        internal_port=_internal_port(table),
        protocol="http",
        ports=_HTTP_PORTS,
        force_https=table.flag("force_https") or False,
        autostop=_autostop(table),
        autostart=table.flag("auto_start_machines"),
        min_machines=table.whole("min_machines_running"),
        checks=tuple(_check(each, "http", NANOSECOND) for each in table.tables("checks")),
        place=table.place(),
        groups=groups_of(table) or default,
    )


def _internal_port(table: Table) -> int:
    port = table.whole("internal_port")
    return _DEFAULT_PORT if port is None else port


def _service(table: Table, checks: list[Check], default: tuple[str, ...]) -> Served:
    ports = table.tables("ports")
    handlers = [handler for port in ports for handler in _handlers(port)]
    return Served(
        kind="services",
        internal_port=_internal_port(table),
        protocol="http" if "http" in handlers else table.choice("protocol", ("tcp", "udp")) or "tcp",
        ports=tuple(dict.fromkeys(number for port in ports for number in _numbers(port))),
        force_https=any(port.flag("force_https") for port in ports),
        autostop=_autostop(table),
        autostart=table.flag("auto_start_machines"),
        min_machines=table.whole("min_machines_running"),
        checks=tuple(checks),
        place=table.place(),
        groups=groups_of(table) or default,
    )


def _handlers(port: Table) -> list[str]:
    return [str(each) for each in port.list("handlers")]


def _numbers(port: Table) -> tuple[int, ...]:
    single, first, last = port.whole("port"), port.whole("start_port"), port.whole("end_port")
    if single is not None:
        return (single,)
    if first is None or last is None:
        return ()
    if not first <= last <= _LAST_PORT:
        raise port.error("end_port", f"{first} to {last} is not a range of ports.")
    return tuple(range(first, last + 1))


def _service_checks(table: Table) -> list[Check]:
    kinds: dict[str, Literal["http", "tcp"]] = {"tcp_checks": "tcp", "http_checks": "http"}
    return [_check(each, kind) for key, kind in kinds.items() for each in table.tables(key)]


def _top_checks(top: Table, served: list[Served], default: tuple[str, ...]) -> list[Check]:
    """Return the checks of ``[checks.NAME]``; one without a port asks that of ``[http_service]``."""
    port = next((each.internal_port for each in served if each.kind == "http_service"), None)
    checks = top.table("checks")
    tables = [checks.table(name) for name in checks.values]
    found = [replace(_check(each, _kind(each)), groups=groups_of(each) or default) for each in tables]
    return [replace(check, port=port) if check.port is None else check for check in found]


def _kind(table: Table) -> Literal["http", "tcp", "command"]:
    word = table.choice("type", _KINDS) or ("http" if "path" in table.values else "tcp")
    return "command" if word == "script" else cast("Literal['http', 'tcp']", word)


def _check(table: Table, kind: Literal["http", "tcp", "command"], unit: float = _MILLISECOND) -> Check:
    return Check(
        kind=kind,
        port=table.whole("port"),
        path=table.text("path"),
        method=(table.text("method") or "GET").upper(),
        interval=table.duration("interval", unit),
        timeout=table.duration("timeout", unit),
        grace=table.duration("grace_period", unit),
        place=table.place(),
    )


def _autostop(table: Table) -> Autostop | None:
    value = table.values.get("auto_stop_machines")
    if isinstance(value, bool):
        return "stop" if value else "off"
    return cast("Autostop | None", table.choice("auto_stop_machines", ("off", "stop", "suspend")))
