"""The ports of a compose service: published to the host, or open to the other services alone."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_gaia.config.deployfiles.interpolation import is_open
from pytest_gaia.config.deployfiles.model import Check, Served
from pytest_gaia.config.deployfiles.values import written_out

if TYPE_CHECKING:
    from pytest_gaia.config.deployfiles.model import Place
    from pytest_gaia.config.deployfiles.values import Table
    from pytest_gaia.errors import ConfigError

_SHORT = re.compile(
    r"(?:(?P<host>\[[0-9A-Fa-f:]+\]|[0-9]+(?:\.[0-9]+){3}):)?(?:(?P<published>[0-9-]*):)?(?P<target>[0-9-]+)(?:/(?P<protocol>tcp|udp))?"
)
_LAST_PORT = 65535


def served_ports(service: Table, check: Check | None) -> tuple[Served, ...]:
    """Return the ports of ``service``, with its health check on the one that it asks, or else on the first.

    Compose waits for the health of a container, ports or none: a check of a service without ports makes an entry too.
    """
    served = [*_published(service), *_exposed(service)]
    if check is None:
        return tuple(served)
    owner = next((at for at, each in enumerate(served) if check.port in (None, each.internal_port)), None)
    if owner is None:
        kind = "http" if check.kind == "http" else "tcp"
        return (*served, _served(service, "expose", check.place, check.port, (), kind, checks=(check,)))
    protocol = "http" if check.kind == "http" else served[owner].protocol
    served[owner] = replace(served[owner], checks=(check,), protocol=protocol)
    return tuple(served)


def _published(service: Table) -> list[Served]:
    found = []
    for number, entry in enumerate(service.list("ports")):
        key = f"ports[{number}]"
        if isinstance(entry, dict):
            found += _long(service.below(entry, key), service)
        else:
            found += _short(service, key, written_out(entry))
    return found


def _short(service: Table, key: str, text: str) -> list[Served]:
    """Return the ports of ``[HOST:][PUBLISHED:]TARGET[/PROTOCOL]``; each part may be a range."""
    match = _SHORT.fullmatch(text)
    if match is None:
        raise _no_port(service, key, text)
    targets = _range(service, key, match["target"])
    published = _range(service, key, match["published"]) if match["published"] else []
    if published and len(targets) not in (1, len(published)):
        raise service.error(key, f"{text!r}: the two ranges of ports differ in length.")
    if len(targets) == 1:
        pairs = [(targets[0], tuple(published))]
    else:
        pairs = [(target, tuple(published[at : at + 1])) for at, target in enumerate(targets)]
    place, protocol = service.place(key), match["protocol"] or "tcp"
    return [_served(service, "ports", place, target, ports, protocol) for target, ports in pairs]


def _long(port: Table, service: Table) -> list[Served]:
    target = port.whole("target")
    if target is None:
        raise port.error("target", "the port inside of the container is missing.")
    published = written_out(port.values.get("published"))
    ports = tuple(_range(port, "published", published)) if published else ()
    protocol = port.choice("protocol", ("tcp", "udp")) or "tcp"
    return [_served(service, "ports", port.place(), target, ports, protocol)]


def _exposed(service: Table) -> list[Served]:
    found = []
    for number, entry in enumerate(service.list("expose")):
        key = f"expose[{number}]"
        text, _, protocol = written_out(entry).partition("/")
        for port in _range(service, key, text):
            found.append(_served(service, "expose", service.place(key), port, (), protocol or "tcp"))
    return found


def _range(table: Table, key: str, text: str) -> list[int]:
    first, dash, last = text.partition("-")
    if not (first.isdigit() and (last.isdigit() or not dash)):
        raise _no_port(table, key, text)
    start, end = int(first), int(last or first)
    if not start <= end <= _LAST_PORT:
        raise table.error(key, f"{text!r} is no range of ports.")
    return list(range(start, end + 1))


def _no_port(table: Table, key: str, text: str) -> ConfigError:
    if is_open(text):
        return table.error(
            key, f"{text!r} depends on a variable that has no default; write one, such as ${{GATEWAY_PORT:-8666}}."
        )
    return table.error(key, f'expected ports, such as "8666:8000", got {text!r}.')


def _served(
    service: Table,
    kind: str,
    place: Place,
    target: int | None,
    ports: tuple[int, ...],
    protocol: str,
    checks: tuple[Check, ...] = (),
) -> Served:
    replicas = service.table("deploy").whole("replicas")
    return Served(
        kind="ports" if kind == "ports" else "expose",
        internal_port=target,
        protocol=protocol,
        ports=ports,
        force_https=False,
        autostop=None,
        autostart=None,
        min_machines=replicas if replicas is not None else service.whole("scale"),
        checks=checks,
        place=place,
    )
