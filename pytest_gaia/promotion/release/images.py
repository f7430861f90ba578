"""The images of a release, from a command line or from a running environment."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import Platform
from pytest_gaia.config.services import unknown_service
from pytest_gaia.deploy.hooks import hook_for
from pytest_gaia.deploy.outcome import digest_of, digests, pinned
from pytest_gaia.errors import ConfigError, DeployFailed, DeployUnavailable
from pytest_gaia.observation.deployed import ServiceObservation, observe_services
from pytest_gaia.promotion.release.model import Component
from pytest_gaia.rollout.plan import plan_rollout

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

LOCAL_HOOK = "compose"
"""the hook whose images exist on one machine only"""


def named_images(
    images: Mapping[str, str], platform: Platform, deployed: Collection[str] = ()
) -> tuple[Component, ...]:
    """Return service → reference as components.

    Known services are those of ``platform`` that are not external, and ``deployed``, those with deploy files.

    Raises ``ConfigError`` for an unknown service or an invalid digest.
    """
    known = dict.fromkeys((*(each.name for each in platform.services.values() if not each.external), *deployed))
    found = []
    for service, reference in images.items():
        if service not in known:
            raise ConfigError(f"--image: {unknown_service(service, platform, known)}")
        digest = digest_of(reference)
        if digest is None:
            raise ConfigError(
                f"--image {service}={reference}: add the digest (…@sha256:…), because a tag can move to an untested image. "
                f"To print the digest, run `docker buildx imagetools inspect {reference}`."
            )
        if not DIGEST.fullmatch(digest):
            raise ConfigError(
                f"--image {service}: {digest!r} is not a digest. A digest is sha256: and 64 hexadecimal digits."
            )
        found.append(Component(service, reference, digest))
    return tuple(found)


def look(environment: Environment, rootdir: Path, services: Sequence[str] = ()) -> tuple[ServiceObservation, ...]:
    """Observe ``services`` of ``environment`` (by default all deployed services) through its deploy hook.

    Raises ``ConfigError`` if gaia does not deploy the environment.
    """
    rollout = plan_rollout(environment, environment.deployment, rootdir=rootdir, services=services, check=False)
    return observe_services(rollout, hook_for(environment, rootdir=rootdir))


def running_images(observations: Sequence[ServiceObservation], environment: str) -> tuple[Component, ...]:
    """Return the running images, one for each service.

    Raises ``DeployUnavailable`` if a service could not be observed, and ``DeployFailed`` if a service runs no image or
    several images.
    """
    unseen: dict[str, list[str]] = {}
    for observed in observations:
        if observed.observation is None:
            unseen.setdefault(observed.problem, []).append(f"{observed.service} ({observed.app})")
    if unseen:
        reason = " ".join(f"{', '.join(services)}: {problem}" for problem, services in unseen.items())
        raise DeployUnavailable(f"{environment}: the running images could not be observed. {reason}")
    wrong = [
        f"{observed.service} ({observed.app}) {problem}" for observed in observations if (problem := not_one(observed))
    ]
    if wrong:
        raise DeployFailed(
            f"{environment}: what runs there cannot become a release: {'; '.join(wrong)}. No release was created. Deploy first "
            f"(gaia deploy {environment}), name the images (--image SERVICE=…@sha256:…), or leave services out (--services)."
        )
    return tuple(_component(observed) for observed in observations)


def not_one(observed: ServiceObservation) -> str:
    """Return the reason why an observed service does not run exactly one image; '' if it does."""
    seen = observed.observation
    if seen is None or not seen.exists:
        return "was never deployed"
    if not seen.machines:
        return "has no machine"
    found = digests(seen)
    if len(found) > 1:
        return f"runs {len(found)} images: {', '.join(each[:19] for each in found)}"
    if not found or not all(machine.digest and machine.image for machine in seen.machines):
        return "does not report its image"
    return ""


def _component(observed: ServiceObservation) -> Component:
    if observed.observation is None:
        raise ValueError(f"{observed.service} was not observed")
    machine = observed.observation.machines[0]
    return Component(observed.service, pinned(machine), machine.digest or "")
