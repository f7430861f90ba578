"""Plan a rollout: services, order, deploy files and images."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_gaia.config.deployfiles.model import App, Deployment
from pytest_gaia.config.environment import DeploySettings, Environment
from pytest_gaia.config.services import TOOLS
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.rollout.model import Action, Rollout, Step

ALL = "all"
"""selects every service that can be deployed"""
_BETWEEN = re.compile(r"[,\s]+")


def plan_rollout(
    environment: Environment,
    deployment: Deployment | None,
    *,
    rootdir: Path,
    services: Sequence[str] = (),
    images: Mapping[str, str] | None = None,
    region: str | None = None,
    rebuild: bool = False,
    remote_only: bool = True,
    check: bool = True,
) -> Rollout:
    """Return the plan for a deployment of ``services`` (empty: those of the settings; ``all``: every service).

    ``deployment`` holds the deploy files; None if the hook needs none (a command, a plugin). ``images`` is service →
    reference. A deploy file that must not be used, such as one without an effective health check on a served port,
    raises ``ConfigError`` with ``check``; without it, ``Rollout.refused`` has the reason, for a dry run.

    Raises ``ConfigError`` for an environment without a deployment, an unknown service, a service without a deploy
    file, an image for a service that is not deployed, and a refused deploy file.
    """
    settings_of(environment)
    apps = apps_of(deployment)
    named = {app.name: app for app in apps.values()}
    needs = {service: _needs(app.name, named) for service, app in apps.items()}
    chosen = choose(environment, deployment, apps, services)
    if not images:
        # Compose also applies what the services depend on.
        needed = (named[unit].service for each in chosen for unit in needs.get(each, ()) if unit in named)
        chosen = tuple(dict.fromkeys((*chosen, *needed)))
    chosen = _after_needs(chosen, apps)
    wanted = dict(images or {})
    _check_images(wanted, chosen, environment.name, rebuild=rebuild)
    refused = _without_image(environment, chosen, wanted)
    if deployment is not None:
        described = [apps[each] for each in chosen]
        refused = _undeclared(environment, deployment, described) or _refused(deployment, described)
    if check and refused:
        raise ConfigError(refused)
    steps = (step_of(environment, service, apps.get(service), wanted.get(service)) for service in chosen)
    steps = (replace(step, needs=needs.get(step.service, ())) for step in steps)
    return replace(
        rollout_of(environment, rootdir, steps),
        region=region,
        rebuild=rebuild,
        remote_only=remote_only,
        refused=refused,
    )


def rollout_of(environment: Environment, rootdir: Path, steps: Iterable[Step], action: Action = "deploy") -> Rollout:
    """Return the rollout of ``steps`` with the settings of ``environment``. Raises ``ConfigError`` without any."""
    settings = settings_of(environment)
    return Rollout(
        environment=environment.name,
        rootdir=rootdir,
        steps=tuple(steps),
        action=action,
        deadline=settings.deadline,
        stable_for=settings.stable_for,
        context=settings.context,
        namespace=settings.namespace,
    )


def settings_of(environment: Environment) -> DeploySettings:
    """Return how ``environment`` is deployed. Raises ``ConfigError`` if it is not."""
    if environment.sandbox:
        raise ConfigError(
            f"{environment.label} runs on this machine, and nothing can be deployed to it. "
            "Use an environment with deploy files (gaia env list), or start the sandbox: gaia sandbox up."
        )
    if environment.deploy is None:
        raise ConfigError(
            f"{environment.name} has no deployment settings. In gaia.toml, set "
            f'`from = "fly"` or `from = "compose"` in [env.{environment.name}], or name a hook in '
            f"[env.{environment.name}.deploy]."
        )
    return environment.deploy


def apps_of(deployment: Deployment | None) -> Mapping[str, App]:
    """Return service → app; empty if the hook needs no deploy files."""
    if deployment is None:
        return {}
    found = {app.service: deployment.app(app.service) for app in deployment.apps}
    return {service: app for service, app in found.items() if app is not None}


def choose(
    environment: Environment, deployment: Deployment | None, apps: Mapping[str, App], asked: Sequence[str]
) -> tuple[str, ...]:
    """Return the services to deploy, each after those that it depends on.

    Raises ``ConfigError`` for a service that cannot be deployed.
    """
    in_order = environment.platform.in_order
    there = apps if deployment is not None else environment.services
    can = in_order(each for each in there if not _not_deployed(environment, deployment, each))
    names = asked or settings_of(environment).services or can
    if ALL in names:
        names = can
    for name in names:
        if name not in can:
            raise ConfigError(_unknown(name, environment, deployment, can))
    if not names:
        raise ConfigError(f"{environment.name}: no service to deploy; {_looked(deployment)}.")
    return in_order(names)


def step_of(environment: Environment, service: str, app: App | None, image: str | None, origin: str = "") -> Step:
    """Return the step for ``service``. Without ``app``, the tool uses the name of the service, or of its workload."""
    if app is None and _is_kubernetes(environment):
        platform = environment.platform
        unit = platform.unit_of(service, environment.name, "kubernetes")
        # A pod without a readiness probe gets requests before it can respond to them.
        return Step(service, unit, None, image, origin, checks_required=platform[service].is_http)
    if app is None:
        return Step(service, service, None, image, origin, checks_required=False)
    # Health checks are optional for containers of Compose, and for apps that serve no port.
    groups = app.checked
    return Step(
        service, app.name, app.path.absolute(), image, origin, checks_required=any(groups.values()), groups=groups
    )


def _not_deployed(environment: Environment, deployment: Deployment | None, name: str) -> str:
    """Return why the description of a service rules out its deployment; empty if it does not."""
    service = environment.platform.services.get(name)
    if service is None:
        return ""
    if service.external:
        return f"{name} is external ({service.place}), so it is tested and never deployed."
    tools = [deployment.source] if deployment is not None else ["kubernetes"] if _is_kubernetes(environment) else TOOLS
    if any(service.is_deployed_by(tool) for tool in tools):
        return ""
    return f"{name} is not deployed: `deploy` of [services.{name}] ({service.place}) rules it out."


def _after_needs(chosen: Sequence[str], apps: Mapping[str, App]) -> tuple[str, ...]:
    """Return ``chosen`` in an order in which each Compose service follows its dependencies."""
    ordered: dict[str, None] = {}

    def take(service: str, above: frozenset[str]) -> None:
        for name in chosen if service in apps else ():
            if name in apps[service].depends_on and name not in above:
                take(name, above | {name})
        ordered.setdefault(service)

    for service in chosen:
        take(service, frozenset({service}))
    return tuple(ordered)


def _needs(name: str, named: Mapping[str, App]) -> tuple[str, ...]:
    """Return the direct and indirect dependencies of the Compose service ``name``."""
    found: dict[str, None] = {}
    left = [name]
    while left:
        app = named.get(left.pop())
        new = [each for each in app.waits_for if each not in found] if app is not None else []
        found |= dict.fromkeys(new)
        left += new
    return tuple(each for each in found if each != name)


def _unknown(name: str, environment: Environment, deployment: Deployment | None, can: Iterable[str]) -> str:
    if why := _not_deployed(environment, deployment, name):
        return f"{why} Leave {name} out of --services. Nothing was changed."
    if name in environment.platform and deployment is not None:
        have = ", ".join(can) or "no service"
        return (
            f"{name} has no deploy file for {environment.name}: {_looked(deployment)}, and found {have}. "
            f"Add its file, or leave {name} out of --services."
        )
    return f"{environment.name} has no service {name!r}; {nearest(name, can)} Nothing was changed."


def _looked(deployment: Deployment | None) -> str:
    if deployment is None:
        return "set `services` in its [env.….deploy] of gaia.toml"
    what = "docker-compose.yml" if deployment.source == "compose" else f"fly.*.{deployment.environment}.toml"
    return f"looked for {what} in {deployment.folder.path}"


def _check_images(images: Mapping[str, str], chosen: Sequence[str], environment: str, *, rebuild: bool) -> None:
    for service in images:
        if service not in chosen:
            raise ConfigError(
                f"an image is given for {service}, which is not among the services to deploy to {environment}: "
                f"{', '.join(chosen)}. Add it to --services, or leave its image out."
            )
    if images and rebuild:
        raise ConfigError(
            "--rebuild and --image cannot be combined: one builds an image, the other uses an existing one."
        )


def _is_kubernetes(environment: Environment) -> bool:
    return environment.deploy is not None and environment.deploy.hook == "kubernetes"


def _without_image(environment: Environment, chosen: Sequence[str], images: Mapping[str, str]) -> str:
    """Return why services without an image cannot be deployed; empty if all have one, or if the tool builds them."""
    missing = [service for service in chosen if "@" not in images.get(service, "")]
    if not missing or not _is_kubernetes(environment):
        return ""
    return (
        f"{environment.name} is deployed by the hook kubernetes, which needs the image of each service, with its digest: "
        f"{' '.join(f'--image {service}=IMAGE@sha256:…' for service in missing)}. Nothing was changed."
    )


def _undeclared(environment: Environment, deployment: Deployment, chosen: Sequence[App]) -> str:
    """Return why apps on Fly of no declared service are not deployed; a compose file may have others."""
    found = [app for app in chosen if deployment.source == "fly" and app.service not in environment.platform]
    if not found:
        return ""
    app = found[0]
    return (
        f"{app.place()}: {app.name} is the app of no declared service, so its place in the order of the deployment is "
        f"unknown; {nearest(app.service, environment.platform.names)} Declare it as [services.{app.service}] in gaia.toml, "
        f'or add deploy = {{ fly = "{app.name}" }} to its service. Nothing was changed.'
    )


def _refused(deployment: Deployment, chosen: Sequence[App]) -> str:
    """Return why the deploy files of ``chosen`` must not be deployed; empty if they may."""
    from pytest_gaia.preflight.lint import refusals

    files = {place.file for app in chosen for place in app.places.values()}
    # Errors in files of other environments do not block this one; `gaia config check` reports them.
    others = deployment.folder.others(deployment)
    found = [each for each in refusals(deployment, others) if each.place.file in files]
    if not found:
        return ""
    lines = "".join(f"\n  {each.place}: {each.text}. {each.why} Do: {each.fix}." for each in found)
    return (
        f"{deployment.environment} is not deployed: with its deploy files, the result could not be verified, or the "
        f"deployment would do harm. Nothing was changed.{lines}\nAll findings: gaia config check {deployment.environment}"
    )


def split_services(given: Sequence[str] | None, option: str = "--services") -> tuple[str, ...]:
    """Return the named services; none without the option. Raises ``ConfigError`` if the option has an empty value."""
    if given is None:
        return ()
    names = tuple(name for each in given for name in _BETWEEN.split(each) if name)
    if given and not names:
        raise ConfigError(f"{option} names no service. Omit the option, or pass names or `all`.")
    return names


def split_images(given: Sequence[str] | None, services: Sequence[str], option: str) -> dict[str, str]:
    """Return service → image from ``SERVICE=IMAGE``. A lone ``IMAGE`` is for the only selected service.

    Raises ``ConfigError`` for an image without a service, and for two images of one service.
    """
    images: dict[str, str] = {}
    for each in given or ():
        service, equals, image = each.partition("=")
        if not equals:
            service, image = (services[0] if len(services) == 1 else ""), each
        if not service or not image or any(letter.isspace() for letter in each):
            raise ConfigError(
                f"{option} {each!r} has no service. Use {option} SERVICE=IMAGE, such as "
                f"{option} orders=registry.example.org/orders@sha256:…, or select a single service."
            )
        if service in images:
            raise ConfigError(f"{option} gives {service} two images: {images[service]} and {image}.")
        images[service] = image
    return images
