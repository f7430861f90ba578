"""Read the suite, markers and needs of collected tests.

Each folder below a suites root is a suite, and its name is a marker. Tests that use a client share its event loop.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pytest_asyncio import is_async_test

from pytest_gaia.collection.needs import Needs, needs_of, outside_default_selection
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import Platform
from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.subjects import Subject

LOOP_FIXTURE = "gaia_loop"
"""fixture that every fixture with objects of the session's event loop requests"""


def suite_names(roots: Iterable[Path]) -> tuple[str, ...]:
    """Return the names of all suites: the folders below ``roots`` that contain tests.

    Raises ``ConfigError`` for an unreadable root.
    """
    try:
        folders = [folder for root in roots if root.is_dir() for folder in root.iterdir()]
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be read: {error.strerror}.") from None
    return tuple(sorted(folder.name for folder in folders if any(folder.glob("test_*.py"))))


@dataclass(frozen=True, slots=True)
class Place:
    """Suite and path of a test file."""

    suite: str | None = None
    """its suite; None outside the suites"""
    path: str | None = None
    """path relative to the project, as expectations write it; None outside the suites"""


class Places:
    """Suite and path of every test file. Each file is examined once."""

    def __init__(self, roots: Sequence[Path], rootdir: Path) -> None:
        self._roots = roots
        self._rootdir = rootdir
        self._known: dict[Path, Place] = {}

    def of(self, item: pytest.Item) -> Place:
        """Return suite and path of the file of ``item``."""
        place = self._known.get(item.path)
        if place is None:
            place = self._known[item.path] = self._find(item.path)
        return place

    def _find(self, path: Path) -> Place:
        root = next((root for root in self._roots if root in path.parents), None)
        if root is None:
            return Place()
        base = self._rootdir if self._rootdir in root.parents else root.parent
        parts = path.relative_to(root).parts
        return Place(parts[0] if len(parts) > 1 else None, path.relative_to(base).as_posix())


def mark_suites(items: Iterable[pytest.Item], places: Places) -> None:
    """Add the marker of its suite to every file. Tests inherit the markers of their file."""
    # Thousands of tests share their parent, and comparisons of paths and nodes are slow.
    seen: set[tuple[int, int]] = set()
    for item in items:
        if (alike := (id(item.parent), id(item.path))) not in seen:
            seen.add(alike)
            _mark(item, places.of(item).suite)


def _mark(item: pytest.Item, suite: str | None) -> None:
    node = _file_of(item)
    if suite is not None and all(mark.name != suite for mark in node.own_markers):
        node.add_marker(getattr(pytest.mark, suite))


def _file_of(item: pytest.Item) -> pytest.Item | pytest.Collector:
    """Return the collector of the file of ``item``; ``item`` itself if its path is different."""
    parent = item.parent
    while parent is not None and not isinstance(parent, pytest.File):
        parent = parent.parent
    return parent if parent is not None and parent.path == item.path else item


def settle_loops(items: Iterable[pytest.Item]) -> None:
    """Run tests of pytest-asyncio that use a client in the session's loop, unless they choose a loop.

    Other asynchronous tests are not changed: unittest, anyio, trio or another plugin runs them.
    """
    for item in items:
        if LOOP_FIXTURE not in getattr(item, "fixturenames", ()) or not is_async_test(item):
            continue
        marker = item.get_closest_marker("asyncio")
        if marker is not None and not (marker.kwargs.get("loop_scope") or marker.kwargs.get("scope")):
            # Prepend, because only the closest marker counts.
            item.add_marker(pytest.mark.asyncio(**{**marker.kwargs, "loop_scope": "session"}), append=False)


def shuffled(items: Iterable[pytest.Item], seed: int) -> list[pytest.Item]:
    """Return ``items`` in a random order, which is the same for the same tests and ``seed``.

    The tests of a folder, a file or a class stay together, so that no fixture is set up more often.
    """
    return _shuffled([item.listchain() for item in items], 0, Random(seed))  # noqa: S311 - it keeps nothing secret


def _shuffled(chains: Iterable[Sequence[Any]], depth: int, random: Random) -> list[pytest.Item]:
    """Shuffle tests, each with the nodes above it, which are the same at positions before ``depth``."""
    parts: dict[int, list[Sequence[Any]]] = {}
    for chain in chains:
        parts.setdefault(id(chain[depth]), []).append(chain)
    groups = list(parts.values())
    random.shuffle(groups)
    found: list[pytest.Item] = []
    for group in groups:
        is_test = len(group[0]) == depth + 1
        found += [chain[-1] for chain in group] if is_test else _shuffled(group, depth + 1, random)
    return found


_NOTHING = Needs()


@dataclass(frozen=True, slots=True)
class Traits:
    """Properties that tests of one class or file with the same markers share."""

    needs: Needs
    markers: frozenset[str]
    """markers that expectations can select, including flags of ``needs``"""
    services: frozenset[str]
    path: str | None
    """path of the file in expectations, if it differs from pytest's node IDs"""
    left_out: str | None
    """why the environment does not run them by default; None if it does"""
    demanding: bool
    """whether they have needs"""
    listed: tuple[tuple[str, ...], tuple[str, ...]]
    """markers and services for the results log"""

    def subject(self, nodeid: str) -> Subject:
        """Return the test with pytest's node ID ``nodeid``, as expectations see it."""
        node = nodeid if self.path is None else f"{self.path}{nodeid[nodeid.find('::') :]}"
        return Subject(node, self.markers, self.services)


class TraitsReader:
    """Reads the traits of collected tests, whose markers must not change."""

    def __init__(self, places: Places, platform: Platform, environment: Environment | None) -> None:
        """``environment`` decides what runs by default; None if the user selected tests."""
        self._places = places
        self._platform = platform
        self._environment = environment
        # By identity: thousands of tests of one function share its marks.
        self._known: dict[tuple[int, ...], Traits] = {}

    def of(self, item: pytest.Item) -> Traits:
        """Return the traits of ``item``. Raises :class:`ConfigError` for an invalid ``gaia`` marker."""
        same = (id(item.parent), *map(id, item.own_markers))
        traits = self._known.get(same)
        if traits is None:
            traits = self._known[same] = self._read(item)
        return traits

    def _read(self, item: pytest.Item) -> Traits:
        needs, place = needs_of(item, self._platform), self._places.of(item)
        markers = frozenset(marker.name for marker in item.iter_markers()) | needs.flags
        return Traits(
            needs,
            markers,
            needs.services,
            None if place.path == item.nodeid.partition("::")[0] else place.path,
            outside_default_selection(place.suite, needs, self._environment) if self._environment else None,
            needs != _NOTHING,
            (tuple(markers), tuple(needs.services)),
        )
