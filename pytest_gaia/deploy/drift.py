"""Is what runs at the end what ran at the beginning? Evidence of two releases is evidence of neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_gaia.deploy.contract import Observation

_SHOWN = 19
"""characters of a digest that people compare: ``sha256:`` and twelve more"""


def difference(before: Observation, after: Observation) -> str:
    """Return how ``after`` runs something else than ``before``, in one sentence; an empty text if it does not.

    Images and releases count. Machines that were started, stopped or added with the same image do not.
    """
    if before.exists != after.exists:
        return f"{after.app} {'was deployed meanwhile' if after.exists else 'is gone'}"
    if before.release is not None and after.release is not None and before.release != after.release:
        return f"{after.app} is at release {after.release}, it was at {before.release}"
    then, now = images(before), images(after)
    if then != now:
        return f"{after.app} runs {_listed(now)}, it ran {_listed(then)}"
    return ""


def images(observation: Observation) -> tuple[str, ...]:
    """Return what the machines run: digests, and references where no digest is known; each once, sorted."""
    return tuple(sorted({each.digest or each.image or "an unknown image" for each in observation.machines}))


def _listed(found: tuple[str, ...]) -> str:
    return ", ".join(each[:_SHOWN] if each.startswith("sha256:") else each for each in found) or "nothing"
