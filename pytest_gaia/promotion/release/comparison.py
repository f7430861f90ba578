"""The images of a release, and its comparison with them, with its deploy files and with the running images."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_gaia.config.deployfiles.read import DeployFolder, compose_file, fly_names
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import Platform
from pytest_gaia.config.services import unknown_service
from pytest_gaia.deploy.hooks import hook_for
from pytest_gaia.deploy.outcome import digest_of, digests, is_id, pinned
from pytest_gaia.errors import ConfigError, DeployFailed, DeployUnavailable
from pytest_gaia.observation.deployed import ServiceObservation, observe_services
from pytest_gaia.promotion.ledger.statements import sha256_of
from pytest_gaia.promotion.release.kept import Component, Release
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
        digest = None if is_id(reference) else digest_of(reference)
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


Status = Literal["same", "differs", "unknown", "left out"]


def deploy_files(folder: DeployFolder) -> dict[str, bytes]:
    """Return name → content of every deploy file in ``folder``, for all environments; empty without a folder.

    The environments in ``gaia.toml`` make no difference, so that they do not change the content of a release.

    Raises ``ConfigError`` if a file cannot be read.
    """
    paths = [file.path for file in fly_names(folder.path, platform=folder.platform)]
    if compose := compose_file(folder.path):
        paths.append(compose)
    return {path.name: _content(folder, path) for path in sorted(paths)}


def differences(wanted: Mapping[str, str], found: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """Yield (file, difference) for every file that differs from ``wanted`` (file → SHA-256)."""
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            yield name, "is gone"
        elif name not in wanted:
            yield name, "is new"
        elif sha256_of(found[name]) != wanted[name]:
            yield name, "was changed"


def _content(folder: DeployFolder, path: Path) -> bytes:
    try:
        return folder.content(path)
    except OSError as error:
        raise ConfigError(f"{path.name}: this deploy file cannot be read: {error.strerror}.") from None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of one comparison."""

    what: str
    """``image orders``, ``deploy file fly.orders.dev.toml``, ``kept file …``, ``running orders``"""
    status: Status
    """``unknown``: not observed; ``left out``: the environment or the release lacks the service"""
    reason: str = ""


def check_images(release: Release) -> Iterator[Comparison]:
    """Yield, for each image, whether its reference has exactly the digest of the release."""
    for part in sorted(release.components):
        problem = _loose(part)
        yield Comparison(f"image {part.service}", "differs" if problem else "same", problem)


def check_files(release: Release, found: Mapping[str, bytes], *, what: str) -> Iterator[Comparison]:
    """Yield, for each deploy file, whether it is unchanged; ``found`` is name → current content."""
    different = dict(differences(release.configs, found))
    for name in sorted(release.configs.keys() | found.keys()):
        yield Comparison(f"{what} {name}", "differs" if name in different else "same", different.get(name, ""))


def check_running(
    release: Release, observations: Sequence[ServiceObservation], environment: str
) -> Iterator[Comparison]:
    """Yield, for each service of the release or the environment, whether it runs the image of the release."""
    seen = {observed.service: observed for observed in observations}
    for service in sorted(release.digests.keys() | seen.keys()):
        what = f"running {service}"
        if service not in seen:
            yield Comparison(what, "left out", f"{environment} has no {service}")
        elif service not in release.digests:
            yield Comparison(what, "left out", "the release has no image of it")
        else:
            yield _running(what, seen[service], release.digests[service])


def _running(what: str, observed: ServiceObservation, wanted: str) -> Comparison:
    if observed.observation is None:
        return Comparison(what, "unknown", observed.problem)
    if problem := not_one(observed):
        return Comparison(what, "differs", f"{observed.app} {problem}")
    (running,) = digests(observed.observation)
    if running != wanted:
        return Comparison(what, "differs", f"{observed.app} runs {running[:19]}, the release has {wanted[:19]}")
    return Comparison(what, "same")


def _loose(part: Component) -> str:
    if not DIGEST.fullmatch(part.digest):
        return f"{part.digest or 'nothing'} is not a digest"
    named = digest_of(part.image)
    if named is None:
        return f"{part.image} has no digest, so it can change"
    return "" if named == part.digest else f"{part.image} has another digest than {part.digest[:19]}"
