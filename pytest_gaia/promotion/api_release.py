"""The API of a release, as the environment that it comes from offers it, against what production promises."""

from __future__ import annotations

from datetime import datetime

from pytest_gaia.config.environment import Environment
from pytest_gaia.errors import ConfigError, GaiaError
from pytest_gaia.promotion.api_check import ITEM, ApiCheck, check, undecided
from pytest_gaia.promotion.api_snapshots import Snapshot, fetch, kept_folder, load, with_kept
from pytest_gaia.promotion.bundle import Bundle
from pytest_gaia.promotion.checklist import BY_ID
from pytest_gaia.promotion.checks import environment_apart, not_running
from pytest_gaia.promotion.project import Promotion

BASELINE = "production"
"""the environment whose clients must not be broken"""


def check_release(promotion: Promotion, environment: str, bundle: Bundle, now: datetime) -> ApiCheck:
    """Compare the environment that ``bundle`` comes from, on its way into ``environment``, with production.

    A first stage that asks for this is compared itself: the bundle runs nowhere before. Where production does not answer,
    its documents that were kept last count. Raises ``ConfigError`` for any other first stage.
    """
    previous = promotion.stage(environment).previous
    if previous is None and BY_ID[ITEM].target == environment:
        previous = environment
    if previous is None:
        raise ConfigError(
            f"{environment} is the first stage: a bundle comes there from nowhere, and there is nothing to compare. "
            f"Say `from` in [env.{environment}.stage] of gaia.toml, or compare two: gaia api diff A B."
        )
    candidate, baseline = environment_apart(promotion, previous), environment_apart(promotion, BASELINE)
    if same := _same_address(candidate, baseline):
        return undecided(f"{previous} and {BASELINE} have the same address, {same}: that compares nothing")
    if problem := not_running(promotion, candidate, bundle, now):
        return undecided(problem)
    return check(baseline_of(promotion, baseline), fetch(candidate))


def baseline_of(promotion: Promotion, environment: Environment) -> Snapshot:
    """Return what ``environment`` promises now; where it does not answer, what it was last seen to promise."""
    folder = kept_folder(promotion.rootdir, environment.name)
    try:
        return with_kept(fetch(environment), folder)
    except GaiaError:
        if not folder.is_dir():
            raise
        return load(folder)


def _same_address(one: Environment, other: Environment) -> str:
    shared = set(one.urls.values()) & set(other.urls.values())
    return min(shared, default="")
