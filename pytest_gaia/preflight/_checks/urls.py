"""Checks of the addresses that services use to reach each other."""

import re
from collections.abc import Iterator

from pytest_gaia.config.platform import DISABLED, Platform
from pytest_gaia.preflight.files import Address, DeployFiles, addresses, env_place
from pytest_gaia.preflight.findings import Found, check

_SERVICE_VARIABLE = re.compile(r"(?:GAIA_)?(?P<name>\w+?)(?:_SERVICE)?_(?:BASE_)?URLS?", re.IGNORECASE)


@check("localhost-url", "error")
def localhost_url(files: DeployFiles) -> Iterator[Found]:
    """A service is expected on localhost, but runs in another app.

    On its own machine, localhost is the caller itself. Every request to the other service fails or loops.
    """
    for environment, app in files.apps():
        if not files.has_others(environment):
            continue
        for address in addresses(app):
            service = _service(address.variable, files.platform)
            if address.is_local and service not in (None, app.service):
                what = f"{address.variable} of {app.name} is {address.host}, but {environment} runs more services than {files.platform.entry}"
                yield Found(address.place, what, f"write the address of {service} in {environment}", environment)


def _service(variable: str, platform: Platform) -> str | None:
    """Return the service whose address the variable holds; None for any other variable."""
    known = {each: name for name in platform for each in platform.variables_of(name)}
    found = _SERVICE_VARIABLE.fullmatch(variable)
    if variable.upper() in known or found is None:
        return known.get(variable.upper())
    word = found["name"]
    return (
        known.get(f"{word.upper()}_URL")
        or platform.named(word.lower().replace("_", "-"))
        or platform.named(word.lower())
    )


@check("nats-disabled", "error")
def nats_disabled(files: DeployFiles) -> Iterator[Found]:
    """NATS, or another service, is disabled, but the environment deploys it.

    Services without a connection to it still respond to their health check, so only tests of events fail.
    """
    for deployment in files.deployments:
        deployed = {app.service for app in deployment.apps} & set(files.platform)
        names = {each: name for name in files.platform.sort(deployed) for each in files.platform.variables_of(name)}
        for app in deployment.apps:
            for name, value in app.env.items():
                if name in names and value.strip().lower() == DISABLED:
                    what = f"{name} of {app.name} is disabled, but {deployment.environment} deploys {names[name]}"
                    fix = f"write the address of {names[name]}, or remove its deploy file"
                    yield Found(env_place(app, name), what, fix, deployment.environment)


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
        spelling = files.environments.ending(address.fly_app)
        return owners.get(address.fly_app) or (files.environments.name(spelling) if spelling else None)
    return next((name for name, hosts in files.hosts.items() if address.host in hosts), None)


@check("unknown-app", "warning")
def unknown_app(files: DeployFiles) -> Iterator[Found]:
    """An address refers to an app without a deploy file.

    The project does not deploy that app, so it may not exist, or may be a remnant of an older pipeline.
    """
    for deployment in files.deployments:
        names = {app.name for app in deployment.apps}
        if deployment.source != "fly" or not files.has_others(deployment.environment):
            continue
        for app in deployment.apps:
            for address in addresses(app):
                target = address.fly_app
                spelling = files.environments.ending(target) if target else None
                is_own = spelling is not None and files.environments.name(spelling) == deployment.environment
                if is_own and target not in names and not address.is_database:
                    what = f"{address.variable} of {app.name} refers to {target}, which has no deploy file"
                    fix = f"add a deploy file for {target}, or write the name of an app that has one"
                    yield Found(address.place, what, fix, deployment.environment)
