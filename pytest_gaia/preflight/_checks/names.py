"""Checks of the names of apps and of their files."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pytest_gaia.config.deployfiles.model import App, Deployment
from pytest_gaia.config.deployfiles.reach import services
from pytest_gaia.config.deployfiles.read import spellings
from pytest_gaia.config.platform import DATABASE_NAMES, Platform
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight.files import DeployFiles, addresses, head
from pytest_gaia.preflight.findings import Found, check


@check("app-name", "error")
def app_name(files: DeployFiles) -> Iterator[Found]:
    """An app is not named after its service and environment.

    The name selects the app to deploy. A file with the name of another app overwrites that app.
    """
    for environment, app in files.apps("fly"):
        if not _is_named_after(app, environment, files.platform):
            wanted = _unit(app, files.platform)
            what = f'the app of {app.service} in {environment} is named "{app.name}"'
            yield Found(head(app), what, f'write app = "{wanted}", or give the file the right name', environment)


def _unit(app: App, platform: Platform) -> str:
    """Return the name that ``app`` should have."""
    declared = app.service in platform
    name = platform.unit_of(app.service, app.environment, "fly") if declared else None
    return (name or platform.expand(platform.unit, app.service, app.environment)).strip("-")


def _is_named_after(app: App, environment: str, platform: Platform) -> bool:
    """Whether ``app`` has the name of its unit. What is before the name of the service may differ."""
    service = platform.services.get(app.service)
    template = platform.unit if service is None else service.units.get("fly", platform.unit)
    _, separator, rest = template.partition("{service}")
    named = {app.service, *(f"{app.service}{each}" for each in ("-service", "_service"))}
    named |= {each for each in DATABASE_NAMES if platform.named(each) == app.service}
    beginnings = [rf"(?:[a-z0-9-]+-)?{re.escape(each)}" for each in named] if separator else [""]
    if service is None and app.form == "entry":
        # It may be any service.
        beginnings = ["[a-z0-9-]+"]
    words = "|".join(map(re.escape, (*spellings(environment), app.environment)))
    ending = re.escape(rest if separator else template).replace(re.escape("{env}"), f"(?:{words})")
    return any(re.fullmatch(f"{beginning}{ending}", app.name) for beginning in beginnings)


class _Use(NamedTuple):
    """One spelling of an environment, in a name."""

    spelling: str
    name: str
    place: Place


@check("environment-spelling", "error")
def environment_spelling(files: DeployFiles) -> Iterator[Found]:
    """One environment is spelled in two ways.

    shop-orders-prod and shop-orders-production are two apps. You deploy and test one, and users reach the other.
    """
    uses: dict[str, list[_Use]] = {}
    for use in _uses(files):
        uses.setdefault(files.environments.name(use.spelling), []).append(use)
    for environment, found in uses.items():
        right = _preferred(environment, found)
        for use in dict.fromkeys(found):
            if use.spelling != right:
                what = f'"{use.name}" has the spelling "{use.spelling}", but other files have "{right}"'
                yield Found(
                    use.place, what, f'write "{right}" everywhere, in names of files, apps and hosts', environment
                )


def _uses(files: DeployFiles) -> Iterator[_Use]:
    known = files.environments
    for _, app in files.apps("fly"):
        if known.knows(app.environment):
            yield _Use(app.environment, app.path.name, head(app))
        if spelling := known.ending(app.name):
            yield _Use(spelling, app.name, head(app))
        for address in addresses(app):
            if address.fly_app and (spelling := known.ending(address.fly_app)):
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
                fix = "keep one of them; fly.ENV.toml is for environments that have only one app"
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
    for here, there in (each for pair in files.pairs() for each in (pair, pair[::-1])):
        deployed = {app.service for app in there.apps}
        for app in here.apps:
            if app.service not in deployed:
                what = f"{app.service} has a deploy file for {here.environment}, but none for {there.environment}"
                fix = f"add one for {there.environment}, or remove this one"
                yield Found(head(app), what, fix, there.environment)


@check("topology-claim", "error")
def topology_claim(files: DeployFiles) -> Iterator[Found]:
    """The deploy files contradict the services of the environment in gaia.toml.

    The services decide which tests apply. A service that is listed but not deployed fails; one that is not listed is never
    tested.
    """
    for deployment in files.deployments:
        claim, environment = files.claims.get(deployment.environment), deployment.environment
        place = _place_of_entry(deployment)
        if claim is None or place is None:
            continue
        found = services(deployment, files.platform)
        missing = [name for name in claim.services if name not in found and name not in claim.addressed]
        if missing:
            names = ", ".join(missing)
            what = f"gaia.toml lists {names} for {environment}, but no deploy file does"
            fix = f"add {'a file' if len(missing) == 1 else 'files'}, or remove {names} from the services of [env.{environment}]"
            yield Found(place, what, fix, environment)
        if extra := sorted({app.service for app in deployment.apps} & set(files.platform) - set(claim.services)):
            names, have = ", ".join(extra), "has a deploy file" if len(extra) == 1 else "have deploy files"
            what = (
                f"{names} {have} for {environment}, but gaia.toml does not list {'it' if len(extra) == 1 else 'them'}"
            )
            fix = f"add {names} to the services of [env.{environment}], or remove the files"
            yield Found(place, what, fix, environment)


def _place_of_entry(deployment: Deployment) -> Place | None:
    """Return the place of the entry, or else of the first app; None without apps."""
    name = deployment.platform.entry
    entry = deployment.app(name) if name is not None else None
    app = entry or next(iter(deployment.apps), None)
    return None if app is None else head(app)
