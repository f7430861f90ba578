"""Planning a rollout: which services, in which order, with which deploy file and image."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_gaia.config.deployfiles.model import COMPLETED, App, Deployment
from pytest_gaia.config.environment import DeploySettings, Environment
from pytest_gaia.config.platform import SERVICES, in_order
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.rollout.model import Rollout, Step

ALL = "all"
"""what stands for every service that can be deployed"""
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
    """Plan a deployment of ``services`` (empty: those of the settings; ``all``: every one).

    ``deployment`` is what the deploy files say; None where the hook needs none (a command, a plugin). ``images`` is
    service → reference. With ``check`` a deploy file that no deployment may use (no effective health check on a served
    port) is refused; without, ``Rollout.refused`` has the reason, for a dry run.

    Raises ``ConfigError``: the environment has no deployment, an unknown service, one without a deploy file, an image
    for a service that is not deployed, a refused deploy file.
    """
    settings = settings_of(environment)
    apps = apps_of(deployment)
    chosen = _after_needs(choose(environment, deployment, apps, services), apps)
    wanted = dict(images or {})
    _check_images(wanted, chosen, environment.name, rebuild=rebuild)
    refused = "" if deployment is None else _refused(deployment, [apps[each] for each in chosen])
    if check and refused:
        raise ConfigError(refused)
    return Rollout(
        environment=environment.name,
        rootdir=rootdir,
        steps=tuple(
            _once([step_of(service, apps.get(service), wanted.get(service)) for service in chosen], deployment)
        ),
        region=region,
        rebuild=rebuild,
        remote_only=remote_only,
        deadline=settings.deadline,
        refused=refused,
    )


def settings_of(environment: Environment) -> DeploySettings:
    """Return how ``environment`` is deployed; ``ConfigError`` where it is not."""
    if environment.sandbox:
        raise ConfigError(
            f"{environment.label} runs on the embedded platform, which nothing is deployed to. "
            "Name an environment that has deploy files (gaia env list), or start the platform: gaia sandbox up."
        )
    if environment.deploy is None:
        raise ConfigError(
            f"{environment.name} has no deployment: gaia.toml does not define one. Write "
            f'`from = "fly"` or `from = "compose"` in [env.{environment.name}], or name a hook in '
            f"[env.{environment.name}.deploy]."
        )
    return environment.deploy


def apps_of(deployment: Deployment | None) -> Mapping[str, App]:
    """Return service → the app that runs it; empty where the hook needs no deploy files."""
    if deployment is None:
        return {}
    found = {app.service: deployment.app(app.service) for app in deployment.apps}
    return {service: app for service, app in found.items() if app is not None}


def choose(
    environment: Environment, deployment: Deployment | None, apps: Mapping[str, App], asked: Sequence[str]
) -> tuple[str, ...]:
    """Return the services to deploy, in their order; ``ConfigError`` for one that cannot be."""
    can = in_order(apps if deployment is not None else environment.services)
    names = asked or settings_of(environment).services or can
    if ALL in names:
        names = can
    for name in names:
        if name not in can:
            raise ConfigError(_unknown(name, environment, deployment, can))
    if not names:
        raise ConfigError(f"{environment.name}: no service to deploy; {_looked(deployment)}.")
    return in_order(names)


def step_of(service: str, app: App | None, image: str | None, origin: str = "") -> Step:
    """Return the step for ``service``; without an ``app`` the service's own name is the tool's as well."""
    if app is None:
        return Step(service, service, None, image, origin, checks_required=False)
    # A container of compose may have no check, and neither may an app that serves nothing.
    groups = app.checked
    return Step(
        service, app.name, app.path.absolute(), image, origin, checks_required=any(groups.values()), groups=groups
    )


def _after_needs(chosen: Sequence[str], apps: Mapping[str, App]) -> tuple[str, ...]:
    """Return ``chosen`` with each compose service after those of them that it depends on."""
    ordered: dict[str, None] = {}

    def take(service: str, above: frozenset[str]) -> None:
        for name in chosen if service in apps else ():
            if name in apps[service].depends_on and name not in above:
                take(name, above | {name})
        ordered.setdefault(service)

    for service in chosen:
        take(service, frozenset({service}))
    return tuple(ordered)


def _once(steps: Iterable[Step], deployment: Deployment | None) -> Iterator[Step]:
    """Yield ``steps`` so that a one-shot container is started by the first that needs it, and by no other."""
    named = {app.name: app for app in deployment.apps} if deployment is not None else {}
    one_shots = {name for app in named.values() for name, how in app.waits_for.items() if how == COMPLETED}
    started: set[str] = set()
    for step in steps:
        # With an image of its own, a service is started without what it depends on.
        needs = _needs(step.app, named) if step.image is None else ()
        if one_shots & started & set(needs):
            beside = tuple(name for name in needs if name not in started)
            yield replace(step, beside=beside)
        else:
            yield step
        started |= {step.app, *needs}


def _needs(name: str, named: Mapping[str, App]) -> tuple[str, ...]:
    """Return what the compose service ``name`` depends on, directly or through others."""
    found: dict[str, None] = {}
    left = [name]
    while left:
        app = named.get(left.pop())
        new = [each for each in app.waits_for if each not in found] if app is not None else []
        found |= dict.fromkeys(new)
        left += new
    return tuple(each for each in found if each != name)


def _unknown(name: str, environment: Environment, deployment: Deployment | None, can: Iterable[str]) -> str:
    if name in SERVICES and deployment is not None:
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
        raise ConfigError("--rebuild builds an image and --image names one that is built; give one of them.")


def _refused(deployment: Deployment, chosen: Sequence[App]) -> str:
    """Return why the deploy files of ``chosen`` may not be deployed; an empty text where they may."""
    from pytest_gaia.preflight.lint import refusals

    files = {app.place().file for app in chosen}
    # An error in the files of another environment does not block this one; `gaia config check` reports it.
    others = deployment.folder.others(deployment)
    found = [each for each in refusals(deployment, others) if each.place.file in files]
    if not found:
        return ""
    lines = "".join(f"\n  {each.place}: {each.text}. {each.why} Do: {each.fix}." for each in found)
    return (
        f"{deployment.environment} was not deployed, because its deploy files have errors. "
        f"Nothing was changed.{lines}\nTo list all problems: gaia config check {deployment.environment}"
    )


def split_services(given: Sequence[str] | None, option: str = "--services") -> tuple[str, ...]:
    """Return the services that are named; none where the option was not given. ``ConfigError`` where it names none."""
    if given is None:
        return ()
    names = tuple(name for each in given for name in _BETWEEN.split(each) if name)
    if given and not names:
        raise ConfigError(f"{option} names no service; leave it out, or give names or `all`.")
    return names


def split_images(given: Sequence[str] | None, services: Sequence[str], option: str) -> dict[str, str]:
    """Return service → image of ``SERVICE=IMAGE``; a lone ``IMAGE`` is that of the one service that is named.

    Raises ``ConfigError`` for an image whose service is not said, and for two of one service.
    """
    images: dict[str, str] = {}
    for each in given or ():
        service, equals, image = each.partition("=")
        if not equals:
            service, image = (services[0] if len(services) == 1 else ""), each
        if not service or not image or any(letter.isspace() for letter in each):
            raise ConfigError(
                f"{option} {each!r}: the service is missing. Write {option} SERVICE=IMAGE, such as "
                f"{option} auth=registry.fly.io/gaia-auth-dev@sha256:…, or choose one service."
            )
        if service in images:
            raise ConfigError(f"{option} gives {service} two images: {images[service]} and {image}.")
        images[service] = image
    return images
