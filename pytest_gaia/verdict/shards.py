"""Shards: the parts of a run that several machines execute, and which tests each of them has."""

import heapq
import re
from collections.abc import Iterable
from typing import Protocol, Self
from zlib import crc32

import msgspec

from pytest_gaia.errors import ConfigError

_MOST = 1000
"""most shards of a run"""


class Shard(msgspec.Struct, frozen=True, order=True):
    """One of ``count`` shards of a run."""

    index: int
    """1 to ``count``"""
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the shard that ``text`` names, such as ``2/5``. Raises :class:`~pytest_gaia.errors.ConfigError`."""
        found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
        if found is None:
            raise ConfigError(f"--gaia-shard={text}: not a shard. Write K/N, such as 2/5 for the second of five.")
        index, count = int(found[1]), int(found[2])
        if not 1 <= count <= _MOST:
            raise ConfigError(f"--gaia-shard={text}: a run has 1 to {_MOST} shards.")
        if not 1 <= index <= count:
            raise ConfigError(f"--gaia-shard={text}: there is no shard {index} of {count}; the first is 1/{count}.")
        return cls(index, count)

    @property
    def only(self) -> str:
        """A sentence for what a run left out because it is a shard."""
        return f"only shard {self} was selected"

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


class Assignable(Protocol):
    """One test, as far as it matters for the shard that it belongs to."""

    @property
    def node(self) -> str:
        """Its node ID."""
        ...

    @property
    def group(self) -> str:
        """Tests with the same group are in the same shard. Empty if the test may be in any."""
        ...

    @property
    def seconds(self) -> float:
        """Its duration in an earlier run; 0 if unknown."""
        ...


def assign(tests: Iterable[Assignable], count: int) -> dict[str, int]:
    """Return test → shard, 1 to ``count``: always the same for the same ``tests``, and shards of similar duration.

    The longest group is assigned first, each to the shard with the least so far. A test without a known duration counts as
    the mean of the others.
    """
    tests = tuple(tests)
    known = [test.seconds for test in tests if test.seconds > 0]
    mean = sum(known) / len(known) if known else 1.0
    weights: dict[str, float] = {}
    members: dict[str, list[str]] = {}
    for test in tests:
        key = test.group or test.node
        weights[key] = weights.get(key, 0.0) + (test.seconds or mean)
        members.setdefault(key, []).append(test.node)
    shards = [(0.0, index) for index in range(1, count + 1)]
    found: dict[str, int] = {}
    for key in sorted(weights, key=lambda key: (-weights[key], key)):
        taken, index = shards[0]
        heapq.heapreplace(shards, (taken + weights[key], index))
        found.update(dict.fromkeys(members[key], index))
    return found


def of_unplanned(group: str, count: int) -> int:
    """Return the shard of tests that are not in the test plan."""
    return crc32(group.encode()) % count + 1


def groups(tests: Iterable[Assignable]) -> int:
    """Return how many shards can have a test."""
    return len({test.group or test.node for test in tests})
