"""What a collected test says of itself, read once for all the tests that say the same."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from pytest_gaia.collection.needs import Needs, needs_of
from pytest_gaia.collection.suites import Places
from pytest_gaia.policy.subjects import Subject

_NOTHING = Needs()


@dataclass(frozen=True, slots=True)
class Traits:
    """What the tests of one class or file have in common that carry the same markers."""

    needs: Needs
    markers: frozenset[str]
    """what rules can select as a marker, the flags among ``needs`` included"""
    services: frozenset[str]
    path: str | None
    """of their file, where rules write another one than pytest's node ids have"""
    left_out: str | None
    """why they are not part of what the environment runs by itself, or None where they are"""
    demanding: bool
    """whether they need anything at all"""
    listed: tuple[tuple[str, ...], tuple[str, ...]]
    """markers and services as a record holds them"""

    def subject(self, nodeid: str) -> Subject:
        """Return what rules look at, of the test with this node id of pytest's."""
        node = nodeid if self.path is None else f"{self.path}{nodeid[nodeid.find('::') :]}"
        return Subject(node, self.markers, self.services)


class TraitsReader:
    """Reads the traits of collected tests. Only valid as long as nobody changes their markers."""

    def __init__(self, places: Places, outside: Callable[[str | None, Needs], str | None]) -> None:
        """``outside`` says why a check of a suite is not part of the default selection."""
        self._places = places
        self._outside = outside
        # By identity: thousands of tests that come from one function share its marks.
        self._known: dict[tuple[int, ...], Traits] = {}

    def of(self, item: pytest.Item) -> Traits:
        """Return the traits of ``item``. Raises :class:`ConfigError` for a ``gaia`` marker that says nothing."""
        same = (id(item.parent), *map(id, item.own_markers))
        traits = self._known.get(same)
        if traits is None:
            traits = self._known[same] = self._read(item)
        return traits

    def _read(self, item: pytest.Item) -> Traits:
        needs, place = needs_of(item), self._places.of(item)
        markers = frozenset(marker.name for marker in item.iter_markers()) | needs.flags
        return Traits(
            needs,
            markers,
            needs.services,
            None if place.path == item.nodeid.partition("::")[0] else place.path,
            self._outside(place.suite, needs),
            needs != _NOTHING,
            (tuple(markers), tuple(needs.services)),
        )
