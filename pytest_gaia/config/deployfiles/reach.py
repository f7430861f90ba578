"""Addresses and services of a deployment, as seen from outside."""

from collections.abc import Iterable
from typing import NamedTuple

from pytest_gaia.config.addresses import FLY_DOMAIN, host_of, is_loopback, is_private
from pytest_gaia.config.deployfiles.model import App, Deployment, Served, Source
from pytest_gaia.config.deployfiles.values import is_open
from pytest_gaia.config.platform import DISABLED, Kind, Platform
from pytest_gaia.files.toml import Place

_SECURE, _PLAIN = 443, 80


class _Server(NamedTuple):
    """How the server of a kind is reached from outside without a password."""

    scheme: str
    port: int | None
    """its usual port"""
    others: tuple[int, ...] = ()
    """ports of its monitoring and its cluster, where no client connects"""


_SERVERS: dict[Kind, _Server] = {
    "nats": _Server("nats", 4222, (6222, 8222)),
    "redis": _Server("redis", 6379, (16379, 8001)),
    "amqp": _Server("amqp", 5672, (4369, 15672, 15692, 25672)),
    "tcp": _Server("tcp", None),
}
"""kinds whose address is in the deploy files; that of PostgreSQL needs a password"""


def http_address(app: App, source: Source) -> tuple[str, Place] | None:
    """Return the public URL of ``app``; None if it is private or does not use HTTP."""
    served = [each for each in app.served if each.ports and each.protocol != "udp"]
    if source == "compose":
        best = min(served, key=lambda each: not each.checks, default=None)
        return None if best is None else (f"http://localhost:{best.ports[0]}", best.place)
    with_http = [each for each in served if each.protocol == "http"]
    if not with_http:
        return None
    ports = {port for each in with_http for port in each.ports}
    if _SECURE in ports or _PLAIN in ports:
        return f"{'https' if _SECURE in ports else 'http'}://{app.name}.{FLY_DOMAIN}", app.place("app")
    return f"https://{app.name}.{FLY_DOMAIN}:{min(ports)}", app.place("app")


def why_no_address(deployment: Deployment) -> str:
    """Return the reason why the entry of ``deployment`` has no address, in sentences."""
    name = deployment.platform.entry
    entry = deployment.app(name) if name is not None else None
    if name is None or entry is None:
        there = ", ".join(app.name for app in deployment.apps)
        file = deployment.apps[0].place("app").file
        missing = "no service is declared in gaia.toml" if name is None else f"none of its services is {name}"
        return f"{file}: {missing} (found: {there}).{_elsewhere(deployment.apps[0])}"
    for port in entry.served:
        if port.open_port:
            return (
                f"{port.place}: {port.open_port!r} depends on a variable without a default; add one, such as "
                "${PORT:-8000}."
            )
    return f"{entry.place('app')}: {name} publishes no port.{_elsewhere(entry)}"


def _elsewhere(app: App) -> str:
    from pytest_gaia.config.deployfiles.compose import elsewhere

    return elsewhere(app.project) if app.project else ""


def broker_address(deployment: Deployment, service: str) -> tuple[str, Place] | None:
    """Return the public URL of a NATS server, or ``disabled``; None if the files have none.

    The variable of its clients is often an address in their own network. Its app then has the public address.
    """
    configured = _configured(deployment, service)
    if configured is not None and configured[0] == DISABLED:
        return configured
    own = _server_address(deployment, service)
    if own is not None or configured is None:
        return own
    return None if is_open(configured[0]) or is_private(host_of(configured[0])) else configured


def urls(deployment: Deployment, platform: Platform) -> dict[str, tuple[str, Place]]:
    """Return service → its public URL and the place of it in the deploy files."""
    found = ((name, _address(deployment, name, platform[name].kind)) for name in platform)
    return {name: address for name, address in found if address is not None}


def _address(deployment: Deployment, service: str, kind: Kind) -> tuple[str, Place] | None:
    if kind == "nats":
        return broker_address(deployment, service)
    if kind != "http":
        return _server_address(deployment, service)
    app = deployment.app(service)
    return None if app is None else http_address(app, deployment.source)


def services(deployment: Deployment, platform: Platform) -> tuple[str, ...]:
    """Return the services of the deployment, those that its entry reaches elsewhere, and those that the tool does not deploy."""
    found = {app.service for app in deployment.apps}
    found |= {name for name in platform.usual if not platform[name].is_deployed_by(deployment.source)}
    entry = deployment.app(platform.entry) if platform.entry is not None else None
    if entry is not None:
        found |= {name for name in platform.behind_entry if _is_elsewhere(entry, platform.variables_of(name))}
    for name in platform.of_kind("postgres"):
        # On Fly the database is a separate service without a deploy file.
        variables = set(platform.variables_of(name))
        if deployment.source == "fly" or any(variables & app.env.keys() for app in deployment.apps):
            found.add(name)
    return tuple(service for service in platform if service in found)


def _is_elsewhere(app: App, variables: Iterable[str]) -> bool:
    """Whether one of ``variables`` of ``app`` is an address that is not its own machine."""
    given = (app.env.get(name) for name in variables)
    return any(url and url != DISABLED and not is_loopback(host_of(url)) for url in given)


def _configured(deployment: Deployment, service: str) -> tuple[str, Place] | None:
    """Return the address of ``service`` in the variables of the others, those of the entry first."""
    platform = deployment.platform
    apps = sorted(deployment.apps, key=lambda app: app.service != platform.entry)
    names = platform.variables_of(service)
    given = ((app.env[name], app.place("env", name)) for app in apps for name in names if app.env.get(name))
    return next(given, None)


def _server_address(deployment: Deployment, service: str) -> tuple[str, Place] | None:
    """Return the public address of a server in its own deploy file."""
    server = _SERVERS.get(deployment.platform[service].kind)
    app = deployment.app(service)
    if server is None or app is None:
        return None
    served = [
        each for each in app.served if each.ports and each.protocol != "udp" and each.internal_port not in server.others
    ]
    if not served:
        return None
    own = next((each for each in served if each.internal_port == server.port), served[0])
    if deployment.source == "compose":
        return f"{server.scheme}://localhost:{own.ports[0]}", own.place
    return f"{server.scheme}://{app.name}.{FLY_DOMAIN}:{_fly_port(own, server)}", app.place("app")


def _fly_port(served: Served, server: _Server) -> int:
    raw = served.kind == "services" and server.port not in served.ports
    return served.ports[0] if raw or server.port is None else server.port
