"""The pipeline's state: what is ahead of what, by what runs in each environment. Pure."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_gaia.run.overview import AppView, EnvironmentView

PIPELINE = ("dev", "staging", "production")
"""the way of a release"""

History: TypeAlias = "Mapping[str, Sequence[str]]"
"""service → digests of the images that were seen to run well, the oldest first"""
_Order = Literal["earlier", "later", "same"]


@dataclass(frozen=True, slots=True)
class Lead:
    """Two neighbours of the pipeline, and where the one is ahead of the other."""

    ahead: str
    behind: str
    services: tuple[str, ...]
    """empty where both run the same"""
    missing: tuple[str, ...] = ()
    """those among them that do not run at all in the environment that is behind"""

    def __str__(self) -> str:
        if not self.services:
            return f"{self.ahead} and {self.behind} run the same"
        named = (f"{name} (not deployed there)" if name in self.missing else name for name in self.services)
        return f"{self.ahead} is ahead of {self.behind}: {', '.join(named)}"


def leads(views: Sequence[EnvironmentView], histories: Mapping[str, History]) -> tuple[Lead, ...]:
    """Return how each environment of the pipeline stands to the next one, as far as it is known what they run.

    A difference alone has no direction. Where a journal (``histories``, by environment) or the versions that the
    services report say which one is older, that decides; otherwise the environment that a release reaches first is
    taken to be ahead.
    """
    known = {view.name: view for view in views if any(_runs(app) for app in view.apps)}
    stages = [known[name] for name in PIPELINE if name in known]
    return tuple(lead for first, second in itertools.pairwise(stages) for lead in _between(first, second, histories))


def _between(first: EnvironmentView, second: EnvironmentView, histories: Mapping[str, History]) -> Iterator[Lead]:
    found: dict[str, _Order] = {}
    for app in first.apps:
        other = second.app(app.service)
        order = _order(app, other, histories.get(first.name, {}), histories.get(second.name, {}))
        if order is not None:
            found[app.service] = order
    absent = {name for name in found if (other := second.app(name)) is None or not _runs(other)}
    if earlier := tuple(name for name, order in found.items() if order == "earlier"):
        yield Lead(first.name, second.name, earlier, tuple(name for name in earlier if name in absent))
    if later := tuple(name for name, order in found.items() if order == "later"):
        yield Lead(second.name, first.name, later)
    if found and not (earlier or later):
        yield Lead(first.name, second.name, ())


def _order(app: AppView, other: AppView | None, here: History, there: History) -> _Order | None:
    """Return which of the two is ahead; None where that cannot be said."""
    if not _runs(app) or (other is not None and other.state == "unknown"):
        return None
    if other is None or not _runs(other):
        return None if other is None or other.state == "gateway-only" else "earlier"
    if app.digests and other.digests:
        return _by_digest(app, other, here.get(app.service, ()), there.get(app.service, ()))
    if not (app.version and other.version):
        return None
    return _by_version(app.version, other.version)


def _by_digest(app: AppView, other: AppView, here: Sequence[str], there: Sequence[str]) -> _Order:
    if app.digests == other.digests:
        return "same"
    if _came_before(other.digests[0], app.digests[0], here):
        return "earlier"
    if _came_before(app.digests[0], other.digests[0], there):
        return "later"
    if app.version and other.version and app.version != other.version:
        return _by_version(app.version, other.version)
    return "earlier"


def _came_before(old: str, new: str, history: Sequence[str]) -> bool:
    """Whether ``history`` has seen ``old`` before it last saw ``new``."""
    newest = max((number for number, digest in enumerate(history) if digest == new), default=-1)
    return old in history[:newest] if newest > 0 else False


def _by_version(here: str, there: str) -> _Order:
    if here == there:
        return "same"
    return "later" if _numbers(here) < _numbers(there) else "earlier"


def _numbers(version: str) -> tuple[int, ...]:
    # More digits than any version has would only make the comparison slow.
    return tuple(int(part[:18]) for part in re.findall(r"\d+", version)[:8])


def _runs(app: AppView) -> bool:
    """Whether it is known what ``app`` runs."""
    return bool(app.digests or app.version)
