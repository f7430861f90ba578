"""Is a bundle still what it was made of? Pure: what was kept, what is in the work tree, what was seen to run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_gaia.deploy.outcome import digest_of, digests
from pytest_gaia.observation.deployed import Sight
from pytest_gaia.promotion.bundle import Bundle, Component
from pytest_gaia.promotion.configs import differences
from pytest_gaia.promotion.images import DIGEST, not_one

Status = Literal["same", "differs", "unknown", "left out"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was compared."""

    what: str
    """``image gateway``, ``deploy file fly.auth.dev.toml``, ``kept file …``, ``running gateway``"""
    status: Status
    """``unknown``: it could not be looked at; ``left out``: the environment has no such service, or the bundle none"""
    why: str = ""


def check_images(bundle: Bundle) -> Iterator[Check]:
    """Yield, for each image, whether its reference names one digest and no other."""
    for part in sorted(bundle.components):
        problem = _loose(part)
        yield Check(f"image {part.service}", "differs" if problem else "same", problem)


def check_files(bundle: Bundle, found: Mapping[str, bytes], *, what: str) -> Iterator[Check]:
    """Yield, for each deploy file, whether it is as it was; ``found`` is name → content now."""
    different = dict(differences(bundle.configs, found))
    for name in sorted(bundle.configs.keys() | found.keys()):
        yield Check(f"{what} {name}", "differs" if name in different else "same", different.get(name, ""))


def check_running(bundle: Bundle, sights: Sequence[Sight], environment: str) -> Iterator[Check]:
    """Yield, for each service of the bundle or of the environment, whether what runs is what is in the bundle."""
    seen = {sight.service: sight for sight in sights}
    for service in sorted(bundle.digests.keys() | seen.keys()):
        what = f"running {service}"
        if service not in seen:
            yield Check(what, "left out", f"{environment} has no {service}")
        elif service not in bundle.digests:
            yield Check(what, "left out", "the bundle has no image of it")
        else:
            yield _running(what, seen[service], bundle.digests[service])


def _running(what: str, sight: Sight, wanted: str) -> Check:
    if sight.observation is None:
        return Check(what, "unknown", sight.problem)
    if problem := not_one(sight):
        return Check(what, "differs", f"{sight.app} {problem}")
    (running,) = digests(sight.observation)
    if running != wanted:
        return Check(what, "differs", f"{sight.app} runs {running[:19]}, the bundle has {wanted[:19]}")
    return Check(what, "same")


def _loose(part: Component) -> str:
    if not DIGEST.fullmatch(part.digest):
        return f"{part.digest or 'nothing'} is no digest"
    named = digest_of(part.image)
    if named is None:
        return f"{part.image} names no digest; it can become another image"
    return "" if named == part.digest else f"{part.image} names another digest than {part.digest[:19]}"
