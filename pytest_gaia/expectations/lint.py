"""Check the expectations of a project: dates, duplicates, conflicts, and expectations without effect."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations, product
from typing import Literal

from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.expectations.expectation_set import ExpectationSet, Resolution
from pytest_gaia.expectations.selectors import PATH, keys_of, parse
from pytest_gaia.expectations.subjects import Context, Subject
from pytest_gaia.wording import counted

SOON = 7
"""days before ``expires`` from which there is a warning"""


def lint(
    expectations: Sequence[Expectation], subjects: Sequence[Subject], tolerances: Mapping[str, Tolerance], today: date
) -> list[Finding]:
    """Return the findings, errors first. ``subjects`` are all tests of the project."""
    coverage = cover(expectations, subjects, tolerances, today)
    found = [
        *(finding for expectation in expectations for finding in _dates(expectation, tolerances, today)),
        *_twins(expectations),
        *(finding for expectation in expectations for finding in _use(expectation, coverage, today)),
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
            frozenset(expectation.when),
            expectation.match,
        )
        by_claim.setdefault(claim, []).append(expectation)
    for same in by_claim.values():
        for one, other in combinations(same, 2):
            shared = sorted(set(one.environments) & set(other.environments))
            if shared:
                yield _finding("error", "duplicate", other, f"is the same as {one.id} in {', '.join(shared)}")


def _use(expectation: Expectation, coverage: Coverage, today: date) -> Iterator[Finding]:
    if not coverage.tests_of(expectation):
        hint = coverage.hint(expectation.selectors[0].text) if len(expectation.selectors) == 1 else ""
        yield _finding("error", "unused", expectation, f"covers no test{hint}")
        return
    for selector in expectation.selectors:
        if selector.text not in coverage.tests:
            text = f"{selector.text} covers no test{coverage.hint(selector.text)}"
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

    def hint(self, text: str) -> str:
        """Return the most similar selector that covers a test, as the end of a sentence."""
        kind = parse(text).kind
        # Names of services are already checked.
        known = [key for key in self.tests if parse(key).kind == kind] if kind != "service" else []
        close = difflib.get_close_matches(text, known, n=1)
        return f"; did you mean {close[0]}?" if close else ""


def cover(
    expectations: Sequence[Expectation], subjects: Sequence[Subject], tolerances: Mapping[str, Tolerance], today: date
) -> Coverage:
    """Return which of ``subjects`` the ``expectations`` cover."""
    expectation_set = ExpectationSet(expectations)
    groups = _groups(expectations, subjects)
    applied: set[str] = set()
    hidden: dict[str, Counter[str]] = {}
    conflicts: dict[tuple[str, ...], Conflict] = {}
    for context in _contexts(expectations, tolerances, today):
        counted: dict[str, Counter[str]] = {}
        for group in groups:
            resolution = expectation_set.resolution(group.example, context)
            applied.update(expectation.id for expectation in resolution.effective)
            if resolution.conflicting:
                conflict = Conflict(resolution.conflicting, group.example.node, context.environment)
                conflicts.setdefault(tuple(expectation.id for expectation in conflict.expectations), conflict)
            for overridden, winner in _hiding(resolution, context):
                counted.setdefault(overridden, Counter())[winner] += group.size
        for overridden, effective in counted.items():
            hidden[overridden] = hidden.get(overridden, Counter()) | effective
    tests = Counter(key for subject in subjects for key in keys_of(subject))
    return Coverage(tests, _sizes(groups), frozenset(applied), hidden, tuple(conflicts.values()))


@dataclass(frozen=True, slots=True)
class _Group:
    """Tests that the same expectations cover."""

    expectations: tuple[str, ...]
    example: Subject
    size: int


def _groups(expectations: Sequence[Expectation], subjects: Iterable[Subject]) -> list[_Group]:
    about: dict[str, list[str]] = {}
    for expectation in expectations:
        for selector in expectation.selectors:
            about.setdefault(selector.text, []).append(expectation.id)
    members: dict[tuple[str, ...], list[Subject]] = {}
    for subject in subjects:
        members.setdefault(tuple(key for key in keys_of(subject) if key in about), []).append(subject)
    return [
        _Group(tuple({expectation: None for key in keys for expectation in about[key]}), found[0], len(found))
        for keys, found in members.items()
    ]


def _sizes(groups: Iterable[_Group]) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for group in groups:
        sizes.update(dict.fromkeys(group.expectations, group.size))
    return sizes


def _contexts(
    expectations: Iterable[Expectation], tolerances: Mapping[str, Tolerance], today: date
) -> Iterator[Context]:
    """Yield every combination of environment and capabiliconflicts that ``expectations`` distinguish."""
    environments = sorted({name for expectation in expectations for name in expectation.environments})
    capabiliconflicts = sorted({name for expectation in expectations for name, _ in expectation.when})
    for environment in environments:
        for seen in product((True, False), repeat=len(capabiliconflicts)):
            observed = frozenset(name for name, there in zip(capabiliconflicts, seen, strict=True) if there)
            yield Context(environment, observed, today, tolerances[environment])


def _hiding(resolution: Resolution, context: Context) -> Iterator[tuple[str, str]]:
    """Yield (overridden, effective) IDs of expectations that both expect a failure."""
    if resolution.expect not in ("fail", "flaky"):
        return
    for expectation, _ in resolution.overridden:
        if expectation.expect in ("fail", "flaky") and expectation.inapplicable(context) is None:
            for winner in resolution.effective:
                yield expectation.id, winner.id


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
