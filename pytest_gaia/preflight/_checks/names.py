"""Checks of the names of apps and of their files."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.config.deployfiles.read import service_name
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight._addresses import addresses, environment_of
from pytest_gaia.preflight.files import BACKENDS, PRODUCTION, STAGING, DeployFiles
from pytest_gaia.preflight.findings import Found, check
from pytest_gaia.preflight.spelling import environment_name, is_environment, last_word
from pytest_gaia.preflight.standing import head


@check("app-name", "error")
def app_name(files: DeployFiles) -> Iterator[Found]:
    """An app is not named after its service and environment.

    The name selects the app to deploy. A file with the name of another app overwrites that app.
    """
    for environment, app in files.apps("fly"):
        if not _is_named_after(app, environment):
            wanted = f"gaia-{app.service}-{app.environment}"
            what = f'the app of {app.service} in {environment} is named "{app.name}"'
            yield Found(head(app), what, f'write app = "{wanted}", or give the file the right name', environment)


def _is_named_after(app: App, environment: str) -> bool:
    rest, _, word = app.name.rpartition("-")
    is_environment_right = environment_name(word) == environment or word == app.environment
    return is_environment_right and service_name(rest.rpartition("-")[2]) == app.service


class _Use(NamedTuple):
    """One spelling of an environment, in a name."""

    spelling: str
    name: str
    place: Place


@check("environment-spelling", "error")
def environment_spelling(files: DeployFiles) -> Iterator[Found]:
    """One environment is spelled in two ways.

    gaia-gateway-prod and gaia-gateway-production are two apps. You deploy and test one, and users reach the other.
    """
    uses: dict[str, list[_Use]] = {}
    for use in _uses(files):
        uses.setdefault(environment_name(use.spelling), []).append(use)
    for environment, found in uses.items():
        right = _preferred(environment, found)
        for use in dict.fromkeys(found):
            if use.spelling != right:
                what = f'"{use.name}" has the spelling "{use.spelling}", but other files have "{right}"'
                yield Found(
                    use.place, what, f'write "{right}" everywhere, in names of files, apps and hosts', environment
                )


def _uses(files: DeployFiles) -> Iterator[_Use]:
    for _, app in files.apps("fly"):
        if is_environment(app.environment):
            yield _Use(app.environment, app.path.name, head(app))
        if is_environment(last_word(app.name)):
            yield _Use(last_word(app.name), app.name, head(app))
        for address in addresses(app):
            if address.fly_app and (spelling := environment_of(address.fly_app)):
                yield _Use(spelling, address.fly_app, address.place)


def _preferred(environment: str, uses: Iterable[_Use]) -> str:
    """Return the spelling to keep: the full name if it is used, or else the most frequent one."""
    counts = Counter(use.spelling for use in uses)
    return environment if environment in counts else counts.most_common(1)[0][0]


@check("duplicate-app", "error", refuses=True)
def duplicate_app(files: DeployFiles) -> Iterator[Found]:
    """Two deploy files name one app.

    The last deployment replaces the other one, so the order of deployments decides the configuration.
    """
    first: dict[str, App] = {}
    for environment, app in files.apps("fly"):
        other = first.setdefault(app.name, app)
        if other is not app:
            what = f'"{app.name}" is also named in {head(other).file}'
            yield Found(head(app), what, "give each app one file, and remove the other", environment)


@check("two-files", "error", refuses=True)
def two_files(files: DeployFiles) -> Iterator[Found]:
    """A service has two deploy files in one environment.

    It is undefined which of the two is deployed, and therefore which one was tested.
    """
    for deployment in files.deployments:
        first: dict[str, App] = {}
        usual = ("service", deployment.environment)
        for app in sorted(deployment.apps, key=lambda each: (each.form, each.environment) != usual):
            other = first.setdefault(app.service, app)
            if other is not app and other.path != app.path:
                what = f"{app.path.name} and {other.path.name} are both for {app.service} of {deployment.environment}"
                fix = "keep one of them; fly.ENV.toml is for environments that have only a gateway"
                yield Found(head(app), what, fix, deployment.environment)


@check("unknown-environment", "warning")
def unknown_environment(files: DeployFiles) -> Iterator[Found]:
    """A deploy file belongs to no environment of the project.

    It is not read, checked or deployed. If its name has a typing error, a service is missing.
    """
    for place in files.unrecognized:
        fix = "name it fly.SERVICE.ENVIRONMENT.toml, or add [env.ENVIRONMENT] to gaia.toml"
        yield Found(place, f"{place.file} belongs to no known environment", fix)


@check("missing-service", "error")
def missing_service(files: DeployFiles) -> Iterator[Found]:
    """A service is deployed in only one of staging and production.

    A service that staging does not run is untested in production. A service that production does not run breaks its callers.
    """
    pair = files.deployment(STAGING), files.deployment(PRODUCTION)
    for here, there in (pair, pair[::-1]):
        if here is None or there is None:
            continue
        deployed = {app.service for app in there.apps}
        for app in here.apps:
            if app.service not in deployed:
                what = f"{app.service} has a deploy file for {here.environment}, but none for {there.environment}"
                fix = f"add one for {there.environment}, or remove this one"
                yield Found(head(app), what, fix, there.environment)


@check("topology-claim", "error")
def topology_claim(files: DeployFiles) -> Iterator[Found]:
    """The deploy files contradict the topology in gaia.toml.

    The topology decides which tests apply. A service that is declared but not deployed fails; one that is not declared
    is never tested.
    """
    for deployment in files.deployments:
        claim, environment = files.claims.get(deployment.environment), deployment.environment
        backends = sorted({app.service for app in deployment.apps} & set(BACKENDS))
        gateway = deployment.app("gateway") or (deployment.apps[0] if deployment.apps else None)
        if claim is None or gateway is None:
            continue
        if claim == "microservices" and not backends:
            what = f"gaia.toml declares microservices for {environment}, but only the gateway has a deploy file"
            fix = f'add files for {", ".join(BACKENDS)}, or write topology = "gateway-only" in [env.{environment}]'
            yield Found(head(gateway), what, fix, environment)
        if claim == "gateway-only" and backends:
            what = f"gaia.toml declares {environment} as gateway-only, but {', '.join(backends)} have deploy files"
            fix = f'write topology = "microservices" in [env.{environment}], or remove the files'
            yield Found(head(gateway), what, fix, environment)
