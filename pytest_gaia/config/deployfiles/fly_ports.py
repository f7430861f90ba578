"""The ports that a ``fly.*.toml`` serves, and the health checks that are on them, or on none of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, cast

from pytest_gaia.config.deployfiles.model import Autostop, Check, Served

if TYPE_CHECKING:
    from pytest_gaia.config.deployfiles.values import Table

_MILLISECOND = 1e-3
"""what flyctl takes a bare number in a health check for"""

_HTTP_PORTS = (80, 443)
_KINDS = ("http", "tcp", "script")
_LAST_PORT = 65535


def served_ports(top: Table) -> tuple[tuple[Served, ...], tuple[Check, ...]]:
    """Return the ports that the file serves, each with its checks, and the checks that are on none of them."""
    served = [_http_service(each) for each in _http_tables(top)]
    loose: list[Check] = []
    for table in top.tables("services"):
        checks = _service_checks(table)
        if table.whole("internal_port") is None and not table.tables("ports"):
            # [[services.http_checks]] beside [http_service] makes a service of its own that serves nothing.
            loose += checks
        else:
            served.append(_service(table, checks))
    for check in _top_checks(top, served):
        owner = next((at for at, each in enumerate(served) if each.internal_port == check.port), None)
        if owner is None or check.port is None:
            loose.append(check)
        else:
            served[owner] = replace(served[owner], checks=(*served[owner].checks, check))
    return tuple(served), tuple(loose)


def _http_tables(top: Table) -> list[Table]:
    return [top.table("http_service")] if "http_service" in top.values else []


def _http_service(table: Table) -> Served:
    return Served(
        kind="http_service",
        internal_port=table.whole("internal_port"),
        protocol="http",
        ports=_HTTP_PORTS,
        force_https=table.flag("force_https") or False,
        autostop=_autostop(table),
        autostart=table.flag("auto_start_machines"),
        min_machines=table.whole("min_machines_running"),
        checks=tuple(_check(each, "http") for each in table.tables("checks")),
        place=table.place(),
    )


def _service(table: Table, checks: list[Check]) -> Served:
    ports = table.tables("ports")
    handlers = [handler for port in ports for handler in _handlers(port)]
    return Served(
        kind="services",
        internal_port=table.whole("internal_port"),
        protocol="http" if "http" in handlers else table.choice("protocol", ("tcp", "udp")) or "tcp",
        ports=tuple(dict.fromkeys(number for port in ports for number in _numbers(port))),
        force_https=any(port.flag("force_https") for port in ports),
        autostop=_autostop(table),
        autostart=table.flag("auto_start_machines"),
        min_machines=table.whole("min_machines_running"),
        checks=tuple(checks),
        place=table.place(),
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
        raise port.error("end_port", f"{first} to {last} is no range of ports.")
    return tuple(range(first, last + 1))


def _service_checks(table: Table) -> list[Check]:
    kinds: dict[str, Literal["http", "tcp"]] = {"tcp_checks": "tcp", "http_checks": "http"}
    checks = [_check(each, kind) for key, kind in kinds.items() for each in table.tables(key)]
    return checks + [_check(each, _kind(each)) for each in table.tables("checks")]


def _top_checks(top: Table, served: list[Served]) -> list[Check]:
    """Return the checks of ``[checks.NAME]``; one without a port asks that of ``[http_service]``."""
    default = next((each.internal_port for each in served if each.kind == "http_service"), None)
    checks = top.table("checks")
    found = [_check(table, _kind(table)) for table in (checks.table(name) for name in checks.values)]
    return [replace(check, port=default) if check.port is None else check for check in found]


def _kind(table: Table) -> Literal["http", "tcp", "command"]:
    word = table.choice("type", _KINDS) or ("http" if "path" in table.values else "tcp")
    return "command" if word == "script" else cast("Literal['http', 'tcp']", word)


def _check(table: Table, kind: Literal["http", "tcp", "command"]) -> Check:
    return Check(
        kind=kind,
        port=table.whole("port"),
        path=table.text("path"),
        method=(table.text("method") or "GET").upper(),
        interval=table.duration("interval", _MILLISECOND),
        timeout=table.duration("timeout", _MILLISECOND),
        grace=table.duration("grace_period", _MILLISECOND),
        place=table.place(),
    )


def _autostop(table: Table) -> Autostop | None:
    value = table.values.get("auto_stop_machines")
    if isinstance(value, bool):
        return "stop" if value else "off"
    return cast("Autostop | None", table.choice("auto_stop_machines", ("off", "stop", "suspend")))
