"""What is wrong with rules although each of them can be read: dates, twins, and rules that do nothing."""

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
"""days before its end from which a rule is warned about"""


def lint(
    expectations: Sequence[Expectation], subjects: Sequence[Subject], tolerances: Mapping[str, Tolerance], today: date
) -> list[Finding]:
    """Return what is found, errors first. ``subjects`` are all tests of the project."""
    coverage = cover(expectations, subjects, tolerances, today)
    found = [
        *(finding for expectation in expectations for finding in _dates(expectation, tolerances, today)),
        *_twins(expectations),
        *(finding for expectation in expectations for finding in _use(expectation, coverage, today)),
        *(_finding("error", "tie", tie.expectations[0], tie.text) for tie in coverage.ties),
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
            f"expired {expectation.expires} and excuses nothing; {expectation.owner} decides",
        )
    elif left <= SOON:
        text = f"expires {expectation.expires}, in {counted(left, 'day')}; {expectation.owner} decides"
        yield _finding("warning", "expires-soon", expectation, text)
    if expectation.added > today:
        yield _finding("warning", "added-later", expectation, f"`added` is {expectation.added}, after today")
    life = (expectation.expires - expectation.added).days
    for name in expectation.environments:
        longest = tolerances[name].longest_rule_days
        if life > longest:
            text = f"lives {counted(life, 'day')}, and a rule for {name} at most {longest}"
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
                yield _finding("error", "duplicate", other, f"says in {', '.join(shared)} what {one.id} says")


def _use(expectation: Expectation, coverage: Coverage, today: date) -> Iterator[Finding]:
    if not coverage.tests_of(expectation):
        hint = coverage.hint(expectation.selectors[0].text) if len(expectation.selectors) == 1 else ""
        yield _finding("error", "unused", expectation, f"covers no test{hint}")
        return
    for selector in expectation.selectors:
        if selector.text not in coverage.tests:
            text = f"{selector.text} covers no test{coverage.hint(selector.text)}"
            yield _finding("error", "unused-selector", expectation, text)
    yield from _cap(expectation, coverage)
    if expectation.days_left(today) <= 0:
        return
    hiding = coverage.hidden.get(expectation.id, {})
    if hiding and expectation.id not in coverage.speaking:
        others = ", ".join(sorted(hiding))
        yield _finding("error", "shadowed", expectation, f"never speaks for a test: {others} always goes before it")
    else:
        for other, count in sorted(hiding.items()):
            text = f"does not speak for {count} of its tests where {other} does"
            yield _finding("warning", "overlap", expectation, text)


def _cap(expectation: Expectation, coverage: Coverage) -> Iterator[Finding]:
    covered = coverage.tests_of(expectation)
    if expectation.max_tests is not None:
        if expectation.max_tests > covered:
            text = f"max_tests is {expectation.max_tests}, and it covers only {covered}"
            yield _finding("warning", "loose-cap", expectation, text)
    elif expectation.expect != "passes":
        # A function or a file is a cap of its own.
        for selector in expectation.selectors:
            if selector.rank[0] < PATH or (selector.rank[0] == PATH and not selector.text.endswith(".py")):
                text = f"{selector.text} covers {coverage.tests.get(selector.text, 0)} tests, and there is no max_tests"
                yield _finding("warning", "uncapped", expectation, text)


@dataclass(frozen=True, slots=True)
class Tie:
    """Equally specific rules that disagree about a test."""

    expectations: tuple[Expectation, ...]
    node: str
    environment: str

    @property
    def text(self) -> str:
        """The tie in words."""
        claims = " and ".join(f"{expectation.id} expects {expectation.expect}" for expectation in self.expectations)
        return f"{claims} of {self.node} in {self.environment}, equally specific"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How the rules of a project meet its tests."""

    tests: Mapping[str, int]
    """selector, as text → tests that it covers; every selector that covers any, whether or not a rule uses it"""
    by_expectation: Mapping[str, int]
    """id → tests that any of its selectors covers"""
    speaking: frozenset[str]
    """ids of rules that speak for some test, somewhere"""
    hidden: Mapping[str, Mapping[str, int]]
    """id → id of a rule that goes before it though it expects a failure too → tests on which it does"""
    ties: tuple[Tie, ...]

    def tests_of(self, expectation: Expectation) -> int:
        """How many tests ``rule`` is about."""
        return self.by_expectation.get(expectation.id, 0)

    def hint(self, text: str) -> str:
        """Return the nearest selector that covers something, as the end of a sentence."""
        kind = parse(text).kind
        # A service that covers nothing is spelled right: its name was checked when the file was read.
        known = [key for key in self.tests if parse(key).kind == kind] if kind != "service" else []
        close = difflib.get_close_matches(text, known, n=1)
        return f"; did you mean {close[0]}?" if close else ""


def cover(
    expectations: Sequence[Expectation], subjects: Sequence[Subject], tolerances: Mapping[str, Tolerance], today: date
) -> Coverage:
    """Hold all ``rules`` against all ``subjects``."""
    ruleset = ExpectationSet(expectations)
    groups = _groups(expectations, subjects)
    speaking: set[str] = set()
    hidden: dict[str, Counter[str]] = {}
    ties: dict[tuple[str, ...], Tie] = {}
    for context in _contexts(expectations, tolerances, today):
        counted: dict[str, Counter[str]] = {}
        for group in groups:
            resolution = ruleset.resolution(group.example, context)
            speaking.update(expectation.id for expectation in resolution.effective)
            if resolution.tied:
                tie = Tie(resolution.tied, group.example.node, context.environment)
                ties.setdefault(tuple(expectation.id for expectation in tie.expectations), tie)
            for overridden, winner in _hiding(resolution, context):
                counted.setdefault(overridden, Counter())[winner] += group.size
        for overridden, effective in counted.items():
            hidden[overridden] = hidden.get(overridden, Counter()) | effective
    tests = Counter(key for subject in subjects for key in keys_of(subject))
    return Coverage(tests, _sizes(groups), frozenset(speaking), hidden, tuple(ties.values()))


@dataclass(frozen=True, slots=True)
class _Group:
    """Tests that the same rules are about."""

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
    """Yield every combination of circumstances that makes a difference to ``rules``."""
    environments = sorted({name for expectation in expectations for name in expectation.environments})
    capabilities = sorted({name for expectation in expectations for name, _ in expectation.when})
    for environment in environments:
        for seen in product((True, False), repeat=len(capabilities)):
            observed = frozenset(name for name, there in zip(capabilities, seen, strict=True) if there)
            yield Context(environment, observed, today, tolerances[environment])


def _hiding(resolution: Resolution, context: Context) -> Iterator[tuple[str, str]]:
    """Yield (rule, winner) where both expect a failure, both apply, and only the winner is asked."""
    if resolution.expect not in ("fails", "flaky"):
        return
    for expectation, _ in resolution.overridden:
        if expectation.expect in ("fails", "flaky") and expectation.inapplicable(context) is None:
            for winner in resolution.effective:
                yield expectation.id, winner.id


Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one rule, or may be."""

    level: Level
    check: str
    """name of the check, such as ``unused``"""
    expectation: str
    """id of the rule"""
    place: str
    """its file"""
    text: str


def sort_key(finding: Finding) -> tuple[bool, str, str, str]:
    """Errors first, then by file."""
    return finding.level != "error", finding.place, finding.check, finding.text
