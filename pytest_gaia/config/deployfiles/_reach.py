"""Addresses, topology and services of a deployment, as seen from outside."""

from pytest_gaia.config.addresses import host_of, is_loopback, is_private
from pytest_gaia.config.deployfiles.model import App, Deployment, Served, Source
from pytest_gaia.config.deployfiles.values import is_open
from pytest_gaia.config.environment import Topology
from pytest_gaia.config.platform import HTTP_SERVICES, NATS_DISABLED, Platform
from pytest_gaia.files.toml import Place

BACKENDS = HTTP_SERVICES[1:]
"""services behind the gateway"""

FLY_DOMAIN = "fly.dev"
NATS_PORT = 4222

_SECURE, _PLAIN = 443, 80


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
    """Return the reason why the gateway of ``deployment`` has no address, in sentences."""
    gateway = deployment.app("gateway")
    if gateway is None:
        there = ", ".join(app.name for app in deployment.apps)
        file = deployment.apps[0].place("app").file
        return f"{file}: no service is the gateway (found: {there}).{_elsewhere(deployment.apps[0])}"
    for port in gateway.served:
        if port.open_port:
            return (
                f"{port.place}: {port.open_port!r} depends on a variable without a default; add one, such as "
                "${GATEWAY_PORT:-8666}."
            )
    return f"{gateway.place('app')}: the gateway publishes no port.{_elsewhere(gateway)}"


def _elsewhere(app: App) -> str:
    from pytest_gaia.config.deployfiles.compose import elsewhere

    return elsewhere(app.project) if app.project else ""


def broker_address(deployment: Deployment) -> tuple[str, Place] | None:
    """Return the public URL of NATS, or ``disabled``; None if the files have none.

    The ``NATS_URL`` of services is often an address in their own network. The app of NATS then has the public address.
    """
    configured = _configured_broker(deployment)
    if configured is not None and configured[0] == NATS_DISABLED:
        return configured
    app = deployment.app("nats")
    own = _broker_app_address(app, deployment.source) if app is not None else None
    if own is not None or configured is None:
        return own
    return None if is_open(configured[0]) or is_private(host_of(configured[0])) else configured


def topology(deployment: Deployment) -> tuple[Topology, Place] | None:
    """Return the topology; None without a gateway.

    It is ``gateway-only`` if the gateway's addresses of other services are its own machine, or if there are neither such
    addresses nor other services.
    """
    gateway = deployment.app("gateway")
    if gateway is None:
        return None
    given = _given_addresses(gateway)
    elsewhere = [key for key, url in given.items() if not is_loopback(host_of(url))]
    if elsewhere:
        return "microservices", gateway.place("env", elsewhere[0])
    if given:
        return "gateway-only", gateway.place("env", next(iter(given)))
    alone = not any(app.service in BACKENDS for app in deployment.apps)
    return "gateway-only" if alone else "microservices", gateway.place("app")


def urls(deployment: Deployment, platform: Platform) -> dict[str, tuple[str, Place]]:
    """Return service → its public URL and the place of it in the deploy files."""
    found: dict[str, tuple[str, Place]] = {}
    for service in platform.http:
        app = deployment.app(service)
        address = http_address(app, deployment.source) if app is not None else None
        if address is not None:
            found[service] = address
    broker = broker_address(deployment)
    return found | ({"nats": broker} if broker is not None and "nats" in platform else {})


def services(deployment: Deployment, platform: Platform) -> tuple[str, ...]:
    """Return the services of the deployment, and those that its gateway reaches elsewhere."""
    found = {app.service for app in deployment.apps}
    gateway = deployment.app("gateway")
    if gateway is not None:
        found |= {_service(key) for key, url in _given_addresses(gateway).items() if not is_loopback(host_of(url))}
    # On Fly the database is a separate service without a deploy file.
    if deployment.source == "fly" or any("DATABASE_URL" in app.env for app in deployment.apps):
        found.add("postgres")
    return tuple(service for service in platform if service in found)


def _given_addresses(gateway: App) -> dict[str, str]:
    keys = (f"{service.upper()}_SERVICE_URL" for service in BACKENDS)
    return {key: gateway.env[key] for key in keys if gateway.env.get(key)}


def _service(key: str) -> str:
    return key.partition("_")[0].lower()


def _configured_broker(deployment: Deployment) -> tuple[str, Place] | None:
    apps = sorted(deployment.apps, key=lambda app: app.service != "gateway")
    configured = ((app.env["NATS_URL"], app.place("env", "NATS_URL")) for app in apps if app.env.get("NATS_URL"))
    return next(configured, None)


def _broker_app_address(app: App, source: Source) -> tuple[str, Place] | None:
    served = [each for each in app.served if each.ports]
    if not served:
        return None
    own = next((each for each in served if each.internal_port == NATS_PORT), served[0])
    if source == "compose":
        return f"nats://localhost:{own.ports[0]}", own.place
    return f"nats://{app.name}.{FLY_DOMAIN}:{_broker_port(own)}", app.place("app")


def _broker_port(served: Served) -> int:
    raw = served.kind == "services" and NATS_PORT not in served.ports
    return served.ports[0] if raw else NATS_PORT
