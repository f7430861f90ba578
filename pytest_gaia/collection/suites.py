"""What a collected test belongs to and says of itself.

A folder below a suites root is a suite, and its name is a marker. Tests that use a client share its event loop. What
tests of one file or class have in common is read once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_asyncio import is_async_test

from pytest_gaia.collection.needs import Needs, needs_of
from pytest_gaia.collection.selection import outside_default_selection
from pytest_gaia.config.environment import Environment
from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.subjects import Subject

LOOP_FIXTURE = "gaia_loop"
"""the fixture that all fixtures request which hold something that belongs to the session's event loop"""


def suite_names(roots: Iterable[Path]) -> tuple[str, ...]:
    """Return the names of all suites: the folders below ``roots`` that hold tests.

    Raises ``ConfigError`` for a root that cannot be read.
    """
    try:
        folders = [folder for root in roots if root.is_dir() for folder in root.iterdir()]
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be read: {error.strerror}.") from None
    return tuple(sorted(folder.name for folder in folders if any(folder.glob("test_*.py"))))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test file stands in the project."""

    suite: str | None = None
    """the suite that it belongs to, or None outside of all suites"""
    path: str | None = None
    """its path as rules write it: relative to the project, wherever pytest's own root folder is; None outside"""


class Places:
    """The place of every test file. Thousands of tests share a file, so each file is looked at once."""

    def __init__(self, roots: Sequence[Path], rootdir: Path) -> None:
        self._roots = roots
        self._rootdir = rootdir
        self._known: dict[Path, Place] = {}

    def of(self, item: pytest.Item) -> Place:
        """Return the place of the file that ``item`` is in."""
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
    """Give every file the marker of its suite: what marks a file marks the tests in it."""
    # Thousands of tests share their parent, and each is asked; paths and nodes compare slowly.
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
    """Return the collector of the file that ``item`` is in, or ``item`` where it says that it is in another one."""
    parent = item.parent
    while parent is not None and not isinstance(parent, pytest.File):
        parent = parent.parent
    return parent if parent is not None and parent.path == item.path else item


def settle_loops(items: Iterable[pytest.Item]) -> None:
    """Move the tests that pytest-asyncio runs and that use a client into the session's loop, unless they choose a loop.

    All other asynchronous tests belong to whatever runs them: unittest, anyio, trio, another plugin, or nothing at all.
    """
    for item in items:
        if LOOP_FIXTURE not in getattr(item, "fixturenames", ()) or not is_async_test(item):
            continue
        marker = item.get_closest_marker("asyncio")
        if marker is not None and not (marker.kwargs.get("loop_scope") or marker.kwargs.get("scope")):
            # In front, because only the closest marker counts.
            item.add_marker(pytest.mark.asyncio(**{**marker.kwargs, "loop_scope": "session"}), append=False)


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

    def __init__(self, places: Places, environment: Environment | None) -> None:
        """``environment`` is the one whose own choice of checks counts; None where the user has chosen."""
        self._places = places
        self._environment = environment
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
            outside_default_selection(place.suite, needs, self._environment) if self._environment else None,
            needs != _NOTHING,
            (tuple(markers), tuple(needs.services)),
        )
