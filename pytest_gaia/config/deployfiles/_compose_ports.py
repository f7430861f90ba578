"""Ports and health check of a compose service."""

import re
from dataclasses import replace

from pytest_gaia.config.deployfiles.model import Check, Served
from pytest_gaia.config.deployfiles.values import Table, is_open, without_variables, written_out
from pytest_gaia.files.toml import Place

_OPEN = "?"
"""placeholder for a variable without a value"""
_SHORT = re.compile(
    r"(?:(?P<host>\[[0-9A-Fa-f:]+\]|[0-9]+(?:\.[0-9]+){3}|\?(?=:[^:]*:)):)?(?:(?P<published>[0-9?-]*):)?(?P<target>[0-9?-]+)"
    r"(?:/(?P<protocol>tcp|udp|\?))?"
)
_LAST_PORT = 65535


def served_ports(service: Table, check: Check | None) -> tuple[Served, ...]:
    """Return the ports of ``service``, with its health check on the port that it uses, or else on the first.

    Compose waits for the health of containers without ports, too, so their check gets an entry of its own.
    """
    served = [*_published(service), *_exposed(service)]
    if check is None:
        return tuple(served)
    owner = next((at for at, each in enumerate(served) if check.port in (None, each.internal_port)), None)
    if owner is None:
        kind = "http" if check.kind == "http" else "tcp"
        ports = (check.port,) if check.port and _is_on_host(service) else ()
        return (*served, _served(service, "expose", check.place, check.port, ports, kind, checks=(check,)))
    protocol = "http" if check.kind == "http" else served[owner].protocol
    served[owner] = replace(served[owner], checks=(check,), protocol=protocol)
    return tuple(served)


def _is_on_host(service: Table) -> bool:
    """Whether ``service`` listens on ports of the host."""
    return service.text("network_mode") == "host"


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
    """Return the ports of ``[HOST:][PUBLISHED:]TARGET[/PROTOCOL]``; each part may be a range, or unknown."""
    match = _SHORT.fullmatch(without_variables(text, _OPEN))
    if match is None:
        raise service.error(key, f'expected ports, such as "8666:8000", got {text!r}.')
    place, protocol = service.place(key), (match["protocol"] or "tcp").replace(_OPEN, "tcp")
    if _OPEN in match["target"]:
        return [_served(service, "ports", place, None, (), protocol, open_port=text)]
    targets = _range(service, key, match["target"])
    open_port = text if _OPEN in (match["published"] or "") else ""
    published = _range(service, key, match["published"]) if match["published"] and not open_port else []
    if published and len(targets) not in (1, len(published)):
        raise service.error(key, f"{text!r}: the two ranges of ports have different lengths.")
    if len(targets) == 1:
        pairs = [(targets[0], tuple(published))]
    else:
        pairs = [(target, tuple(published[at : at + 1])) for at, target in enumerate(targets)]
    return [_served(service, "ports", place, target, ports, protocol, open_port=open_port) for target, ports in pairs]


def _long(port: Table, service: Table) -> list[Served]:
    target = port.whole("target")
    if port.values.get("target") is None:
        raise port.error("target", "the port of the container is missing.")
    published = written_out(port.values.get("published"))
    open_port = published if is_open(published) else ""
    ports = tuple(_range(port, "published", published)) if published and not open_port else ()
    protocol = port.choice("protocol", ("tcp", "udp")) or "tcp"
    return [_served(service, "ports", port.place(), target, ports, protocol, open_port=open_port)]


def _exposed(service: Table) -> list[Served]:
    found = []
    for number, entry in enumerate(service.list("expose")):
        key = f"expose[{number}]"
        text, _, protocol = written_out(entry).partition("/")
        place = service.place(key)
        if is_open(text):
            found.append(_served(service, "expose", place, None, (), protocol or "tcp"))
            continue
        for port in _range(service, key, text):
            ports = (port,) if _is_on_host(service) else ()
            found.append(_served(service, "expose", place, port, ports, protocol or "tcp"))
    return found


def _range(table: Table, key: str, text: str) -> list[int]:
    first, dash, last = text.partition("-")
    if not (first.isdigit() and (last.isdigit() or not dash)):
        raise table.error(key, f'expected ports, such as "8666:8000", got {text!r}.')
    start, end = int(first), int(last or first)
    if not start <= end <= _LAST_PORT:
        raise table.error(key, f"{text!r} is not a range of ports.")
    return list(range(start, end + 1))


def _served(
    service: Table,
    kind: str,
    place: Place,
    target: int | None,
    ports: tuple[int, ...],
    protocol: str,
    checks: tuple[Check, ...] = (),
    open_port: str = "",
) -> Served:
    replicas = service.table("deploy").whole("replicas")
    return Served(
        kind="ports" if kind == "ports" else "expose",
        internal_port=target,
        protocol=protocol,
        # Port 0 means any free port.
        ports=tuple(port for port in ports if port),
        force_https=False,
        autostop=None,
        autostart=None,
        min_machines=replicas if replicas is not None else service.whole("scale"),
        checks=checks,
        place=place,
        open_port=open_port,
    )


_SECOND = 1.0
_ASKED = re.compile(
    r"https?://(?:\$\{[^}]*\}|[^/\s:'\"])+(?::(?:(?P<port>\d{1,5})|\$\{[^}]*\}|\$\w+))?(?P<path>/[^\s'\"|;)]*)?"
)
"""a URL in the command of a health check; host and port may be shell variables"""


def health_check(service: Table) -> Check | None:
    """Return the health check of ``service``; None if it has none or disables it.

    A command with a URL is an ``http`` check of that port and path.
    """
    table = service.table("healthcheck")
    words = _words(table)
    if not words or words[0].upper() == "NONE" or table.flag("disable"):
        return None
    asked = _ASKED.search(" ".join(words))
    return Check(
        kind="http" if asked else "command",
        port=int(asked["port"]) if asked and asked["port"] else None,
        path=(asked["path"] or "/") if asked else None,
        method="GET",
        interval=table.duration("interval", _SECOND),
        timeout=table.duration("timeout", _SECOND),
        grace=table.duration("start_period", _SECOND),
        place=table.place(),
    )


def _words(table: Table) -> list[str]:
    test = table.values.get("test")
    if isinstance(test, list):
        return [written_out(each) for each in test]
    return (table.text("test") or "").split()
