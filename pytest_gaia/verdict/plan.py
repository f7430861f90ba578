"""The test plan: the required tests of a run, written and hashed before anything is deployed, and their shards.

A test that is missing in the run (``-k``, ``-m``, ``--deselect``, ``--lf``, ``-x``, an empty suite) makes the verdict HOLD:
every test of the plan must pass, fail as expected, or not apply.
"""

import hashlib
import heapq
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import cycle
from math import fsum
from operator import attrgetter
from pathlib import Path
from typing import Literal, Protocol
from zlib import crc32

import msgspec

from pytest_gaia.config.environment import SANDBOX
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.writing import write_file
from pytest_gaia.verdict.classify import Classification
from pytest_gaia.verdict.evidence import RunEnd, RunStart, Shard
from pytest_gaia.verdict.results_log import ResultsLog, time_of
from pytest_gaia.wording import listed

FORMAT: Literal["gaia-plan/1"] = "gaia-plan/1"

LONGEST_HOURS = 24
"""hours from the creation of a plan to the start of its shards, because expectations expire by the date of the plan"""
NAMED = 3
"""most tests that a reason lists"""


class PlannedTest(msgspec.Struct, frozen=True, order=True, gc=False):
    """One required test."""

    node: str
    markers: tuple[str, ...] = ()
    """its suite among them, and ``core`` or ``experimental``"""
    services: tuple[str, ...] = ()
    group: str = ""
    """tests with the same group share state, and stay in one shard"""
    seconds: float = 0.0
    """its duration in an earlier run; 0 if unknown"""


class PlannedObjective(msgspec.Struct, frozen=True, order=True, gc=False):
    """One service level objective of the run."""

    route: str
    percentile: float
    warn_ms: float | None
    fail_ms: float
    least_samples: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Required tests and objectives, fixed before the run."""

    format: Literal["gaia-plan/1"] = FORMAT
    environment: str
    release: str = msgspec.field(default="", name="bundle")
    suites: tuple[str, ...]
    tests: tuple[PlannedTest, ...]
    """in the order of the run"""
    objectives: tuple[PlannedObjective, ...] = ()
    expectations_digest: str = msgspec.field(name="policy", default="")
    """SHA-256 of the expectations"""
    created: str = ""
    """time at which it was created, ISO 8601 in UTC; expectations expire by it in shards. Empty in older plans"""
    commit: str = ""
    """commit of the project, with a digest of the changes of tracked files; empty without git"""

    @property
    def digest(self) -> str:
        """SHA-256 of the content in hex, independent of the format of the file."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    @property
    def nodes(self) -> tuple[str, ...]:
        """Node IDs of the tests."""
        return tuple(test.node for test in self.tests)

    @property
    def day(self) -> date:
        """The day on which it was created. Raises ``ValueError`` for an older plan."""
        return date.fromisoformat(self.created[:10])

    @property
    def is_old(self) -> bool:
        """Whether no shard can start with it any more."""
        try:
            return datetime.now(UTC) - time_of(self.created) > timedelta(hours=LONGEST_HOURS)
        except ValueError:
            return True

    def of_shard(self, shard: Shard) -> tuple[str, ...]:
        """Return the tests of one shard, in order."""
        assigned = assign(self.tests, shard.count)
        return tuple(node for node in self.nodes if assigned[node] == shard.index)


def write_plan(path: Path, plan: Plan) -> None:
    """Write ``plan`` to ``path``, whole or not at all. Raises ``OSError``."""
    write_file(path, msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n")


def read_plan(path: Path) -> Plan:
    """Read a test plan. Raises ``ConfigError`` for an unreadable or invalid file."""
    try:
        plan = msgspec.json.decode(path.read_bytes(), type=Plan)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not a test plan (see --gaia-plan-out): {error}.") from None
    if not plan.tests:
        raise ConfigError(f"{path}: the test plan contains no test.")
    return plan


def durations(path: Path) -> Mapping[str, float]:
    """Return test → seconds of all its phases, from a results log. Raises ``ConfigError`` for an invalid file."""
    found: dict[str, float] = {}
    for test in ResultsLog(path):
        found[test.node] = found.get(test.node, 0.0) + sum(phase.duration for phase in test.phases)
    return {node: round(seconds, 3) for node, seconds in found.items()}


def not_passed(required: Iterable[str], classifications: Sequence[Classification]) -> tuple[str, ...]:
    """Return the ``required`` tests that neither passed nor failed as expected."""
    # A skip counts only if an expectation covers it.
    shown = {
        each.node
        for each in classifications
        if each.outcome in _ACCEPTED or (each.outcome == "skipped" and each.expectations)
    }
    return tuple(node for node in required if node not in shown)


def missing_reason(end: RunEnd, classifications: Sequence[Classification]) -> str:
    """Return a message for required tests that did not pass; '' if all passed."""
    missing = not_passed(end.required, classifications)
    if not missing:
        return ""
    classified = {each.node for each in classifications}
    # In a merged run, the problems of the shards show which tests have no result.
    named = [node for node in missing if node in classified or not end.shards]
    count = f"{len(missing)} of {len(end.required)} required tests"
    if not named:
        return f"{count} without a result"
    without = len(missing) - len(named)
    return f"{count} did not pass: {listed(named, NAMED)}" + (f", {without} without a result" if without else "")


def short(text: str) -> str:
    """Return ``text`` with 12 digits of each hash, and all of the rest."""
    return re.sub("[0-9a-f]{13,}", lambda found: found[0][:12], text)


_ACCEPTED = frozenset(
    ("passed", "passed offline", "unexpected pass", "expected failure", "tolerated", "not applicable")
)


_GROUP = attrgetter("group")


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
    if not known and not any(map(_GROUP, tests)):
        # All are equal, so each shard gets one in turn.
        return dict(zip(sorted(dict.fromkeys(test.node for test in tests)), cycle(range(1, count + 1)), strict=False))
    # Exact sums do not depend on the order.
    mean = fsum(known) / len(known) if known else 1.0
    weights: dict[str, float] = {}
    members: defaultdict[str, list[Assignable]] = defaultdict(list)
    for test in tests:
        if test.group:
            members[test.group].append(test)
        else:
            weights[test.node] = test.seconds if test.seconds > 0 else mean
    for key, together in members.items():
        alone = [weights[key]] if key in weights else []
        weights[key] = fsum((*alone, *(test.seconds if test.seconds > 0 else mean for test in together)))
    shards = [(0.0, index) for index in range(1, count + 1)]
    found: dict[str, int] = {}
    longest = sorted(weights)
    longest.sort(key=weights.__getitem__, reverse=True)
    for key in longest:
        taken, index = shards[0]
        heapq.heapreplace(shards, (taken + weights[key], index))
        found[key] = index
    of_groups = {test.node: found[key] for key, together in members.items() for test in together}
    return {test.node: of_groups.get(test.node) or found[test.node] for test in tests} if of_groups else found


def of_unplanned(group: str, count: int) -> int:
    """Return the shard of tests that are not in the test plan."""
    return crc32(group.encode()) % count + 1


def groups(tests: Iterable[Assignable]) -> int:
    """Return how many shards can have a test."""
    return len({test.group or test.node for test in tests})


def _addresses(start: RunStart) -> object:
    # Each sandbox has its own.
    is_sandbox = start.simulated or start.environment == SANDBOX
    return None if is_sandbox else {each.service: each.address for each in start.services}


def _deployed(start: RunStart) -> object:
    seen = start.deployment.services if start.deployment else ()
    return {each.service: {"version": each.version, "images": each.images} for each in seen}


COMMON: tuple[tuple[str, Callable[[RunStart], object]], ...] = (
    ("the addresses", _addresses),
    ("the deployment", _deployed),
    ("the version", lambda start: start.deployed_version),
    ("the versions", lambda start: {each.service: each.version for each in start.services}),
    ("the reachable services", lambda start: start.capabilities),
    ("the unknown services", lambda start: start.unknown),
    ("the topology", lambda start: start.topology),
    ("the kinds of services", lambda start: start.kinds),
    ("the description of services", lambda start: start.platform),
    ("the API", lambda start: start.apis),
    ("the baseline", lambda start: start.baseline),
    ("pytest-gaia", lambda start: start.version),
    ("the format", lambda start: start.schema),
    ("the plugins", lambda start: start.plugins),
    ("concurrency", lambda start: start.concurrency),
    ("simulation", lambda start: start.simulated),
    ("--gaia-sandbox-no-known-bugs", lambda start: start.no_known_bugs),
    ("loopback", lambda start: start.loopback),
)
"""circumstances that all shards of a run have in common: name, and value for the first line of a results log"""
