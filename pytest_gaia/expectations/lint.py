"""Check the expectations of a project: dates, duplicates, conflicts, and expectations without effect."""

from __future__ import annotations

import difflib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from itertools import combinations, permutations, takewhile
from operator import attrgetter
from typing import Literal

from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.expectations.apis import NO_APIS, Apis, NamedOperation
from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.expectations.subjects import PATH, Context, Rank, Subject, keys_of, parse_selector
from pytest_gaia.wording import counted

SOON = 7
"""days before ``expires`` from which there is a warning"""


def lint(
    expectations: Sequence[Expectation],
    subjects: Sequence[Subject],
    tolerances: Mapping[str, Tolerance],
    today: date,
    apis: Apis = NO_APIS,
) -> list[Finding]:
    """Return the findings, errors first. ``subjects`` are all tests of the project; ``apis`` is what a release offers."""
    coverage = cover(expectations, subjects, tolerances, today)
    hints = _Hints(coverage.tests)
    found = [
        *(finding for expectation in expectations for finding in _dates(expectation, tolerances, today)),
        *_twins(each for each in expectations if each.expect != "removed"),
        *_removals([each for each in expectations if each.expect == "removed"]),
        *(finding for expectation in expectations for finding in _still_offered(expectation, apis)),
        *(finding for expectation in expectations for finding in _use(expectation, coverage, hints, today)),
        *(_finding("error", "conflict", conflict.expectations[0], conflict.text) for conflict in coverage.conflicts),
    ]
    return sorted(found, key=sort_key)


def _finding(level: Level, check: str, expectation: Expectation, text: str) -> Finding:
    return Finding(level, check, expectation.id, expectation.place, text)


def _dates(expectation: Expectation, tolerances: Mapping[str, Tolerance], today: date) -> Iterator[Finding]:
    left = expectation.days_left(today)
    if left <= 0:
        yield _finding(
            "error",
            "expired",
            expectation,
            f"expired on {expectation.expires}; remove or renew it ({expectation.owner})",
        )
    elif left <= SOON:
        text = f"expires on {expectation.expires}, in {counted(left, 'day')} ({expectation.owner})"
        yield _finding("warning", "expires-soon", expectation, text)
    if expectation.created > today:
        yield _finding("warning", "created-in-future", expectation, f"`created` is {expectation.created}, after today")
    life = (expectation.expires - expectation.created).days
    for name in expectation.environments:
        longest = tolerances[name].max_expectation_age_days
        if life > longest:
            text = f"is valid for {counted(life, 'day')}; the limit in {name} is {longest}"
            yield _finding("error", "long-lived", expectation, text)


def _twins(expectations: Iterable[Expectation]) -> Iterator[Finding]:
    by_claim: dict[object, list[Expectation]] = {}
    for expectation in expectations:
        claim = (
            frozenset(expectation.selectors),
            expectation.expect,
            expectation.phases,
            frozenset(expectation.circumstances.items()),
            expectation.match,
        )
        by_claim.setdefault(claim, []).append(expectation)
    for same in by_claim.values():
        for one, other in combinations(same, 2):
            shared = sorted(set(one.environments) & set(other.environments))
            if shared:
                yield _finding("error", "duplicate", other, f"is the same as {one.id} in {', '.join(shared)}")


def _removals(expectations: Sequence[Expectation]) -> Iterator[Finding]:
    """Find operations whose removal several expectations accept."""
    for one, other in combinations(expectations, 2):
        shared = sorted(set(one.environments) & set(other.environments))
        if shared and _possible(frozenset(one.circumstances.items() | other.circumstances.items())):
            yield from _both_accept(one, other, ", ".join(shared))


def _patterns(each: Expectation) -> Iterator[Finding]:
    for one, other in permutations(each.operations, 2):
        if one.covers(str(other)):
            yield _finding("warning", "overlap", each, f"{one} covers {other} too; remove the latter")
    unlimited = [pattern for pattern in each.operations if pattern.path.endswith("*")]
    if each.max_failures is None:
        for pattern in unlimited:
            text = f"{pattern} covers any number of operations, and max_failures is not set"
            yield _finding("warning", "no-limit", each, text)
    elif not unlimited and each.max_failures > len(each.operations) and "*" not in map(_METHOD, each.operations):
        text = f"max_failures is {each.max_failures}, but it covers only {counted(len(each.operations), 'operation')}"
        yield _finding("warning", "loose-limit", each, text)


def _still_offered(expectation: Expectation, apis: Apis) -> Iterator[Finding]:
    for pattern in expectation.operations:
        api = apis.now.get(pattern.service)
        every = (f"{pattern.service}: {each}" for each in (api.operations if api else ()))
        if offered := [each for each in every if pattern.covers(each)]:
            text = (
                f"{pattern} covers {counted(len(offered), 'operation')} that the release offers, such as {offered[0]}"
            )
            yield _finding("warning", "still-offered", expectation, text)


_METHOD = attrgetter("method")


def _both_accept(one: Expectation, other: Expectation, where: str) -> Iterator[Finding]:
    """Find what two expectations accept in the environments ``where``."""
    for narrow, wide in ((other, one), (one, other)):
        conditional = wide.circumstances.items() - narrow.circumstances.items()
        if not conditional and all(map(wide.covers, map(str, narrow.operations))):
            text = f"covers no operation that {wide.id} does not cover in {where}"
            yield _finding("error", "duplicate", narrow, text)
            return
    if both := [str(each) for each in other.operations if any(_meet(each, pattern) for pattern in one.operations)]:
        text = f"{one.id} accepts operations of {', '.join(both)} too, in {where}"
        yield _finding("warning", "overlap", other, text)


def _meet(one: NamedOperation, other: NamedOperation) -> bool:
    """Whether two patterns can cover the same operation."""
    if one.method != other.method and "*" not in (one.method, other.method):
        return False
    return any(replace(wide, method="*").covers(str(each)) for wide, each in ((one, other), (other, one)))


def _use(expectation: Expectation, coverage: Coverage, hints: _Hints, today: date) -> Iterator[Finding]:
    if expectation.expect == "removed":
        yield from _patterns(expectation)
        return
    if not coverage.tests_of(expectation):
        hint = hints.of(expectation.selectors[0].text) if len(expectation.selectors) == 1 else ""
        yield _finding("error", "unused", expectation, f"covers no test{hint}")
        return
    for selector in expectation.selectors:
        if selector.text not in coverage.tests:
            text = f"{selector.text} covers no test{hints.of(selector.text)}"
            yield _finding("error", "unused-selector", expectation, text)
    yield from _limit(expectation, coverage)
    if expectation.days_left(today) <= 0:
        return
    hiding = coverage.hidden.get(expectation.id, {})
    if hiding and expectation.id not in coverage.applied:
        others = ", ".join(sorted(hiding))
        yield _finding("error", "shadowed", expectation, f"never applies: {others} always takes precedence")
    else:
        for other, count in sorted(hiding.items()):
            text = f"{other} takes precedence for {count} of its tests; ignore this if it is intended"
            yield _finding("warning", "overlap", expectation, text)


_MOST_HINTS = 20
"""selectors that get a hint; a renamed folder can make thousands of them stale at once"""
_MOST_COMPARED = 200
"""selectors that one is compared with, because the comparison is slow"""


class _Hints:
    """Names the most similar selector that covers a test, for the first stale selectors.

    Compared are only those with the same last part, or in the same place: to compare all takes far too long.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._known = known
        self._left = _MOST_HINTS

    def of(self, text: str) -> str:
        """Return the hint for the stale selector ``text``, as the end of a sentence; empty without one."""
        if not self._left:
            return ""
        self._left -= 1
        similar = dict.fromkeys(each for clue in _clues(text) for each in self._by_clue.get(clue, ()))
        compared = heapq.nlargest(_MOST_COMPARED, similar, key=lambda each: _shared(text, each))
        close = difflib.get_close_matches(text, compared, n=1)
        return f"; did you mean {close[0]}?" if close else ""

    @cached_property
    def _by_clue(self) -> Mapping[tuple[str, ...], Sequence[str]]:
        found: dict[tuple[str, ...], list[str]] = {}
        for text in self._known:
            for clue in _clues(text):
                found.setdefault(clue, []).append(text)
        return found


def _shared(one: str, other: str) -> int:
    """Return how many characters are the same at the beginning and at the end."""
    pairs = zip(one, other, strict=False), zip(reversed(one), reversed(other), strict=False)
    return sum(sum(1 for _ in takewhile(lambda each: each[0] == each[1], pair)) for pair in pairs)


def _clues(text: str) -> tuple[tuple[str, ...], ...]:
    """Return what a selector has in common with those that could be meant: its place, and its last part."""
    kind = parse_selector(text).kind
    if kind in ("all", "service"):
        # Names of services are already checked.
        return ()
    if kind == "marker":
        return ((kind,),)
    if kind == "path":
        place, _, name = text.rpartition("/")
    else:
        place, _, node = text.partition("::")
        # Parameters may contain "::", too.
        names, bracket, parameters = node.partition("[")
        name = names.rpartition("::")[2] + bracket + parameters
    return (kind, "in", place), (kind, "named", name)


def _limit(expectation: Expectation, coverage: Coverage) -> Iterator[Finding]:
    covered = coverage.tests_of(expectation)
    if expectation.max_failures is not None:
        if expectation.max_failures > covered:
            text = f"max_failures is {expectation.max_failures}, but it covers only {counted(covered, 'test')}"
            yield _finding("warning", "loose-limit", expectation, text)
    elif expectation.expect != "pass":
        # A function or a file limits the number of tests.
        for selector in expectation.selectors:
            if selector.rank[0] < PATH or (selector.rank[0] == PATH and not selector.text.endswith(".py")):
                text = (
                    f"{selector.text} covers {coverage.tests.get(selector.text, 0)} tests, and max_failures is not set"
                )
                yield _finding("warning", "no-limit", expectation, text)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Equally specific expectations with different outcomes for a test."""

    expectations: tuple[Expectation, ...]
    node: str
    environment: str

    @property
    def text(self) -> str:
        """The conflict in words."""
        claims = ", ".join(f"{expectation.id} expects {expectation.expect}" for expectation in self.expectations)
        return f"equally specific expectations conflict for {self.node} in {self.environment}: {claims}"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which tests each expectation covers, and which expectations take precedence."""

    tests: Mapping[str, int]
    """number of tests by selector, for every selector that covers a test"""
    by_expectation: Mapping[str, int]
    """number of covered tests by ID"""
    applied: frozenset[str]
    """IDs of expectations that apply to at least one test in one environment"""
    hidden: Mapping[str, Mapping[str, int]]
    """ID → ID of an expectation that takes precedence → number of tests"""
    conflicts: tuple[Conflict, ...]

    def tests_of(self, expectation: Expectation) -> int:
        """Return the number of tests that ``expectation`` covers."""
        return self.by_expectation.get(expectation.id, 0)


def cover(
    expectations: Sequence[Expectation], subjects: Sequence[Subject], tolerances: Mapping[str, Tolerance], today: date
) -> Coverage:
    """Return which of ``subjects`` the ``expectations`` cover.

    Whether expectations can apply together is decided by their own conditions, not by trying every combination of
    services, whose number doubles with each service.
    """
    groups = _groups(expectations, subjects)
    applied: set[str] = set()
    hidden: dict[str, Counter[str]] = {}
    conflicts: dict[tuple[str, ...], Conflict] = {}
    for environment in sorted({name for expectation in expectations for name in expectation.environments}):
        sizes: dict[str, Counter[str]] = {}
        for group in groups:
            rivals = _rivals(group, environment, tolerances[environment], today)
            effective = {each.id: each for each in rivals if _possible(each.when, _stronger(each, rivals))}
            applied |= effective.keys()
            for found in _conflicts(rivals):
                conflict = Conflict(found, group.example.node, environment)
                conflicts.setdefault(tuple(expectation.id for expectation in found), conflict)
            for overridden, winner in _hiding(rivals, effective.values()):
                sizes.setdefault(overridden, Counter())[winner] += group.size
        for overridden, counts in sizes.items():
            hidden[overridden] = hidden.get(overridden, Counter()) | counts
    tests = Counter(key for subject in subjects for key in keys_of(subject))
    return Coverage(tests, _sizes(groups), frozenset(applied), hidden, tuple(conflicts.values()))


@dataclass(frozen=True, slots=True)
class _Group:
    """Tests that the same expectations cover."""

    expectations: Mapping[str, tuple[Rank, Expectation]]
    """ID → specificity of the selector that covers the tests, and the expectation"""
    example: Subject
    size: int


def _groups(expectations: Sequence[Expectation], subjects: Iterable[Subject]) -> list[_Group]:
    about: dict[str, list[tuple[Rank, Expectation]]] = {}
    for expectation in expectations:
        for selector in expectation.selectors:
            about.setdefault(selector.text, []).append((selector.rank, expectation))
    members: dict[tuple[str, ...], list[Subject]] = {}
    for subject in subjects:
        members.setdefault(tuple(key for key in keys_of(subject) if key in about), []).append(subject)
    return [
        _Group(_covering([each for key in keys for each in about[key]]), found[0], len(found))
        for keys, found in members.items()
    ]


def _covering(found: Iterable[tuple[Rank, Expectation]]) -> Mapping[str, tuple[Rank, Expectation]]:
    covering: dict[str, tuple[Rank, Expectation]] = {}
    # The most specific selector comes first.
    for rank, expectation in found:
        covering.setdefault(expectation.id, (rank, expectation))
    return covering


def _sizes(groups: Iterable[_Group]) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for group in groups:
        sizes.update(dict.fromkeys(group.expectations, group.size))
    return sizes


@dataclass(frozen=True, slots=True)
class _Rival:
    """An expectation that covers the tests of a group, in an environment where it can apply."""

    expectation: Expectation
    priority: tuple[Rank, int]
    """specificity and number of conditions; the highest takes precedence"""
    when: frozenset[tuple[str, bool]]

    @property
    def id(self) -> str:
        return self.expectation.id

    def conflicts_with(self, other: _Rival) -> bool:
        """Whether the two are equally specific and expect different outcomes."""
        return self.priority == other.priority and self.expectation.expect != other.expectation.expect


def _rivals(group: _Group, environment: str, tolerance: Tolerance, today: date) -> list[_Rival]:
    found = []
    for name in sorted(group.expectations):
        rank, expectation = group.expectations[name]
        if expectation.excluded(Context(environment, frozenset(), today, tolerance)) is None:
            when = frozenset(expectation.circumstances.items())
            found.append(_Rival(expectation, (rank, expectation.conditions), when))
    return found


def _stronger(rival: _Rival, rivals: Iterable[_Rival]) -> set[frozenset[tuple[str, bool]]]:
    """Return the conditions of those of ``rivals`` that keep ``rival`` from applying."""
    return {each.when for each in rivals if each.priority > rival.priority or each.conflicts_with(rival)}


def _possible(when: frozenset[tuple[str, bool]], others: Iterable[frozenset[tuple[str, bool]]] = ()) -> bool:
    """Return whether all conditions of ``when`` can hold while none of ``others`` holds completely.

    A condition that must not hold decides others in turn, so each pass decides at least one service. Alternatives are
    not tried: if each of ``others`` has two undecided conditions, they count as avoidable.
    """
    known = set(when)
    while known.isdisjoint(map(_opposite, known)):
        others = [other for other in others if known.isdisjoint(map(_opposite, other))]
        undecided = [other - known for other in others]
        if not all(undecided):
            return False
        excluded = {_opposite(each) for rest in undecided if len(rest) == 1 for each in rest}
        if not excluded:
            return True
        known |= excluded
    return False


def _opposite(condition: tuple[str, bool]) -> tuple[str, bool]:
    return condition[0], not condition[1]


def _conflicts(rivals: Sequence[_Rival]) -> Iterator[tuple[Expectation, ...]]:
    """Yield equally specific expectations with different outcomes that can apply together."""
    for one, other in combinations(rivals, 2):
        both = one.when | other.when
        if one.conflicts_with(other) and _possible(both, _above(one, rivals)):
            equal = [each for each in rivals if each.priority == one.priority and each.when <= both]
            yield tuple(each.expectation for each in equal)


def _above(rival: _Rival, rivals: Iterable[_Rival]) -> set[frozenset[tuple[str, bool]]]:
    return {each.when for each in rivals if each.priority > rival.priority}


def _hiding(rivals: Iterable[_Rival], effective: Iterable[_Rival]) -> Iterator[tuple[str, str]]:
    """Yield (overridden, effective) IDs of expectations that both expect a failure."""
    weaker = [each for each in rivals if each.expectation.expect in ("fail", "flaky")]
    for winner in effective:
        if winner.expectation.expect in ("fail", "flaky"):
            stronger = _stronger(winner, rivals)
            for each in weaker:
                if each.priority < winner.priority and _possible(winner.when | each.when, stronger):
                    yield each.id, winner.id


Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One error or warning about an expectation."""

    level: Level
    check: str
    """name of the check, such as ``unused``"""
    expectation: str
    """ID of the expectation"""
    place: str
    """path of its file"""
    text: str


def sort_key(finding: Finding) -> tuple[bool, str, str, str]:
    """Errors first, then by file."""
    return finding.level != "error", finding.place, finding.check, finding.text
