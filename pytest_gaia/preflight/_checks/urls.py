"""Checks of the addresses that services use to reach each other."""

import re
from collections.abc import Iterator

from pytest_gaia.config.platform import NATS_DISABLED, SERVICES
from pytest_gaia.preflight._addresses import Address, addresses, environment_of
from pytest_gaia.preflight.files import DeployFiles
from pytest_gaia.preflight.findings import Found, check
from pytest_gaia.preflight.spelling import environment_name
from pytest_gaia.preflight.standing import env_place

_SERVICE_VARIABLE = re.compile(
    rf"(?:GAIA_)?(?P<member>{'|'.join(SERVICES)}|DATABASE|DB)(?:_SERVICE)?_(?:BASE_)?URLS?", re.IGNORECASE
)


@check("localhost-url", "error")
def localhost_url(files: DeployFiles) -> Iterator[Found]:
    """A service is expected on localhost, but runs in another app.

    On its own machine, localhost is the caller itself. Every request to the other service fails or loops.
    """
    for environment, app in files.apps():
        if not files.claims_services(environment):
            continue
        for address in addresses(app):
            service = _service(address.variable)
            if address.is_local and service not in (None, app.service):
                what = f"{address.variable} of {app.name} is {address.host}, but {environment} runs more services than the gateway"
                yield Found(address.place, what, f"write the address of {service} in {environment}", environment)


def _service(variable: str) -> str | None:
    """Return the service whose address the variable holds; None for any other variable."""
    found = _SERVICE_VARIABLE.fullmatch(variable)
    if found is None:
        return None
    name = found["member"].lower()
    return "postgres" if name in ("database", "db") else name


@check("nats-disabled", "error")
def nats_disabled(files: DeployFiles) -> Iterator[Found]:
    """NATS is disabled, but the environment deploys it.

    Services without a connection to NATS still respond on /health, so only tests of events fail.
    """
    for deployment in files.deployments:
        if deployment.app("nats") is None:
            continue
        for app in deployment.apps:
            if app.env.get("NATS_URL", "").strip().lower() == NATS_DISABLED:
                what = f"NATS_URL of {app.name} is disabled, but {deployment.environment} deploys NATS"
                fix = "write the address of NATS, or remove its deploy file"
                yield Found(env_place(app, "NATS_URL"), what, fix, deployment.environment)


@check("plain-http", "error")
def plain_http(files: DeployFiles) -> Iterator[Found]:
    """Requests to another host use plain HTTP.

    API keys and tokens cross the public network in clear text. The redirect to HTTPS loses the body of a POST.
    """
    for environment, app in files.apps():
        for address in addresses(app):
            if address.scheme in ("http", "ws") and not address.is_private:
                what = f"{address.variable} of {app.name} reaches {address.host} over {address.scheme}://"
                yield Found(address.place, what, f"write {address.scheme}s://{address.host}", environment)


@check("foreign-host", "error", refuses=True)
def foreign_host(files: DeployFiles) -> Iterator[Found]:
    """An environment uses a host of another environment.

    Its tests change the data of the other environment, and its users read them.
    """
    owners = _owners(files)
    for environment, app in files.apps():
        for address in addresses(app):
            owner = None if address.is_database else _owner(address, files, owners)
            if owner not in (None, environment):
                what = f"{address.variable} of {app.name} is {address.host}, which belongs to {owner}"
                yield Found(address.place, what, f"write the host of {environment}", environment)


def _owners(files: DeployFiles) -> dict[str, str]:
    """Return app on Fly → environment, for apps that the files of only one environment name."""
    named: dict[str, set[str]] = {}
    for environment, app in files.apps("fly"):
        named.setdefault(app.name, set()).add(environment)
    return {name: min(environments) for name, environments in named.items() if len(environments) == 1}


def _owner(address: Address, files: DeployFiles, owners: dict[str, str]) -> str | None:
    """Return the environment that the host of ``address`` belongs to; None if it is unknown."""
    if address.fly_app:
        spelling = environment_of(address.fly_app)
        return owners.get(address.fly_app) or (environment_name(spelling) if spelling else None)
    return next((name for name, hosts in files.hosts.items() if address.host in hosts), None)


@check("unknown-app", "warning")
def unknown_app(files: DeployFiles) -> Iterator[Found]:
    """An address refers to an app without a deploy file.

    The project does not deploy that app, so it may not exist, or may be a remnant of an older pipeline.
    """
    for deployment in files.deployments:
        names = {app.name for app in deployment.apps}
        if deployment.source != "fly" or not files.claims_services(deployment.environment):
            continue
        for app in deployment.apps:
            for address in addresses(app):
                target = address.fly_app
                if target and not address.is_database and _is_missing(target, names, deployment.environment):
                    what = f"{address.variable} of {app.name} refers to {target}, which has no deploy file"
                    fix = f"add a deploy file for {target}, or write the name of an app that has one"
                    yield Found(address.place, what, fix, deployment.environment)


def _is_missing(target: str, names: set[str], environment: str) -> bool:
    spelling = environment_of(target)
    return target not in names and spelling is not None and environment_name(spelling) == environment
