"""What the sign-off page is made of: one release, the way that it takes, and what is known of each run on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pytest_gaia.config.stages import Stage
from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.bundle import Bundle
from pytest_gaia.promotion.ledger import Entry
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.signoff.files import RunSeen
from pytest_gaia.promotion.situation import Situation, testified


@dataclass(frozen=True, slots=True)
class Look:
    """One release on its way."""

    promotion: Promotion
    bundle: Bundle
    entries: tuple[Entry, ...]
    now: datetime
    way: tuple[Situation, ...]
    """one an environment, from the first to the target"""
    runs: Mapping[str, RunSeen]
    """environment → its newest run"""
    allure: str = ""
    """where the reports of Allure are; ``{environment}`` in it stands for the name"""

    @property
    def target(self) -> Situation:
        """What is decided."""
        return self.way[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """The environments."""
        return tuple(each.environment for each in self.way)


def way_to(
    promotion: Promotion, bundle: Bundle, entries: Sequence[Entry], now: datetime, asked: Sequence[str]
) -> tuple[Situation, ...]:
    """Return the environments that were ``asked`` for and all that lie before them, in their order.

    Without any: up to the furthest that the ledger knows of this bundle. Raises ``ConfigError`` for an unknown one, and
    where the ledger knows none.
    """
    for name in asked:
        promotion.stage(name)
    wanted = list(asked) or [_furthest(promotion, bundle, entries)]
    names = {each: None for name in wanted for each in _before(promotion.stages, name)}
    ordered = sorted(names, key=lambda name: len(_before(promotion.stages, name)))
    return tuple(promotion.situation(name, bundle, now, tuple(entries)) for name in ordered)


def may_testify(entry: Entry, stage: Stage) -> bool:
    """Whether ``entry`` counts as what a machine has seen in the environment of ``stage``."""
    return not entry.problem and testified(entry, stage)


def about(entry: Entry) -> tuple[str, str]:
    """Return the environment and the bundle that ``entry`` is about; empty texts where it says none."""
    says: object = entry.predicate
    for part in (says, getattr(says, "details", None), getattr(says, "decision", None)):
        if bundle := getattr(part, "bundle", ""):
            return str(getattr(part, "environment", "")), str(bundle)
    return "", ""


def _furthest(promotion: Promotion, bundle: Bundle, entries: Sequence[Entry]) -> str:
    known = [environment for environment, about_bundle in map(about, entries) if about_bundle == bundle.id]
    there = [name for name in known if name in promotion.stages]
    if not there:
        raise ConfigError(
            f"the ledger ({promotion.ledger.store.name}) says nothing about bundle {bundle.short}. Name the environment "
            f"that it is to go to (--env), or begin: gaia promote {next(iter(promotion.stages), 'ENV')} --bundle {bundle.short}."
        )
    return max(there, key=lambda name: len(_before(promotion.stages, name)))


def _before(stages: Mapping[str, Stage], name: str) -> list[str]:
    """Return the way up to ``name``, itself included, the first one first."""
    found = [name]
    while (previous := stages[found[0]].previous) and previous in stages and previous not in found:
        found.insert(0, previous)
    return found
