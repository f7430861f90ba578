"""Comparison of a release with its images, its deploy files, and the running images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_gaia.config.deployfiles.read import DeployFolder, compose_file, fly_names
from pytest_gaia.deploy.outcome import digest_of, digests
from pytest_gaia.errors import ConfigError
from pytest_gaia.observation.deployed import ServiceObservation
from pytest_gaia.promotion.ledger.statements import sha256_of
from pytest_gaia.promotion.release.images import DIGEST, not_one
from pytest_gaia.promotion.release.model import Component, Release

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
