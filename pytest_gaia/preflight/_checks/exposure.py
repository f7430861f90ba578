"""Checks of ports that are open to the public."""

import re
from collections.abc import Iterator
from typing import Any

from pytest_gaia.config.addresses import is_loopback
from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.config.deployfiles.values import without_variables
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight.files import DeployFiles, inside, standing
from pytest_gaia.preflight.findings import Found, check

_PLAIN_HTTP_PORT = 80
_PROTOCOLS = {"nats": "NATS", "postgres": "PostgreSQL", "redis": "Redis", "amqp": "AMQP", "tcp": "TCP"}
_DATABASES = ("postgres", "redis")
_MAPPING = re.compile(r"(?:(?P<host>\[[^\]]*\]|\d+(?:\.\d+){3}):)?(?P<mapping>.*:.+)")


@check("force-https", "error")
def force_https(files: DeployFiles) -> Iterator[Found]:
    """A public port accepts plain HTTP.

    A client that uses http:// sends its API key in clear text, and gets a response instead of a redirect.
    """
    for environment, app in files.apps("fly"):
        for served in app.served:
            if served.protocol == "http" and _PLAIN_HTTP_PORT in served.ports and not served.force_https:
                what = f"port 80 of {app.name} does not redirect to HTTPS"
                yield Found(inside(app, served.place, "force_https"), what, "write force_https = true", environment)


@check("broker-behind-http", "error", refuses=True)
def broker_behind_http(files: DeployFiles) -> Iterator[Found]:
    """A service without HTTP, such as NATS or PostgreSQL, is served as HTTP.

    The proxy of Fly uses HTTP for the port: its clients cannot connect, even if the health check passes.
    """
    for environment, app in files.apps("fly"):
        for served in app.served:
            # Its monitoring port uses HTTP, and may be served in addition.
            is_only = all(each.protocol == "http" for each in app.served)
            protocol = _PROTOCOLS.get(app.kind)
            if protocol and served.protocol == "http" and is_only:
                what = f"{app.name} is behind {served.kind}, but its protocol is {protocol}"
                fix = 'serve its port with [[services]], protocol = "tcp", and [[services.ports]] without handlers'
                yield Found(served.place, what, fix, environment)


@check("open-database", "warning")
def open_database(files: DeployFiles) -> Iterator[Found]:
    """A database, PostgreSQL or Redis, is reachable from any network.

    Its password is the only protection against anyone who scans the network.
    """
    for environment, app in files.apps("fly"):
        for served in app.served:
            if app.kind in _DATABASES and served.ports:
                what = f"{app.name} is published on port {served.ports[0]}"
                yield Found(served.place, what, "remove the ports; apps reach it at .internal or .flycast", environment)
    for environment, app in files.apps("compose"):
        for place, published in _published(app) if app.kind in _DATABASES else ():
            what = f"{app.name} is published on all interfaces ({published})"
            yield Found(place, what, f'write "127.0.0.1:{published}"', environment)


def _published(app: App) -> Iterator[tuple[Place, str]]:
    """Yield (place, mapping) of each port that a compose service publishes on all interfaces."""
    ports = app.document.get("ports")
    for number, entry in enumerate(ports if isinstance(ports, list) else ()):
        mapping = _on_all(entry)
        if mapping:
            yield standing(app, f"ports[{number}]"), mapping


def _on_all(entry: Any) -> str | None:
    """Return the mapping if ``entry`` publishes a port on all interfaces, or else None."""
    if isinstance(entry, dict):
        host = str(entry.get("host_ip", ""))
        mapping = f"{entry['published']}:{entry.get('target', '')}" if entry.get("published") else ""
    else:
        match = _MAPPING.fullmatch(str(entry))
        # An address in a variable is not known.
        if match is None or (without_variables(str(entry), "?").count(":") > 1 and match["host"] is None):
            return None
        host, mapping = match["host"] or "", match["mapping"]
    # 0.0.0.0 and :: mean all interfaces.
    own = is_loopback(host) and host.strip("[0.:]")
    return mapping if mapping and not own else None
