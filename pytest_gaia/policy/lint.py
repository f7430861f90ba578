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
from pytest_gaia.policy.rules import Rule
from pytest_gaia.policy.ruleset import RuleSet, Standing
from pytest_gaia.policy.selectors import PATH, keys_of, parse
from pytest_gaia.policy.subjects import Context, Subject
from pytest_gaia.wording import counted

SOON = 7
"""days before its end from which a rule is warned about"""


def lint(
    rules: Sequence[Rule], subjects: Sequence[Subject], tolerances: Mapping[str, Tolerance], today: date
) -> list[Finding]:
    """Return what is found, errors first. ``subjects`` are all tests of the project."""
    coverage = cover(rules, subjects, tolerances, today)
    found = [
        *(finding for rule in rules for finding in _dates(rule, tolerances, today)),
        *_twins(rules),
        *(finding for rule in rules for finding in _use(rule, coverage, today)),
        *(_finding("error", "tie", tie.rules[0], tie.text) for tie in coverage.ties),
    ]
    return sorted(found, key=sort_key)


def _finding(level: Level, check: str, rule: Rule, text: str) -> Finding:
    return Finding(level, check, rule.id, rule.place, text)


def _dates(rule: Rule, tolerances: Mapping[str, Tolerance], today: date) -> Iterator[Finding]:
    left = rule.days_left(today)
    if left <= 0:
        yield _finding("error", "expired", rule, f"expired {rule.expires} and excuses nothing; {rule.owner} decides")
    elif left <= SOON:
        text = f"expires {rule.expires}, in {counted(left, 'day')}; {rule.owner} decides"
        yield _finding("warning", "expires-soon", rule, text)
    if rule.added > today:
        yield _finding("warning", "added-later", rule, f"`added` is {rule.added}, after today")
    life = (rule.expires - rule.added).days
    for name in rule.environments:
        longest = tolerances[name].longest_rule_days
        if life > longest:
            text = f"lives {counted(life, 'day')}, and a rule for {name} at most {longest}"
            yield _finding("error", "long-lived", rule, text)


def _twins(rules: Iterable[Rule]) -> Iterator[Finding]:
    by_claim: dict[object, list[Rule]] = {}
    for rule in rules:
        claim = (frozenset(rule.selectors), rule.expect, rule.phases, frozenset(rule.when), rule.match)
        by_claim.setdefault(claim, []).append(rule)
    for same in by_claim.values():
        for one, other in combinations(same, 2):
            shared = sorted(set(one.environments) & set(other.environments))
            if shared:
                yield _finding("error", "duplicate", other, f"says in {', '.join(shared)} what {one.id} says")


def _use(rule: Rule, coverage: Coverage, today: date) -> Iterator[Finding]:
    if not coverage.tests_of(rule):
        hint = coverage.hint(rule.selectors[0].text) if len(rule.selectors) == 1 else ""
        yield _finding("error", "unused", rule, f"covers no test{hint}")
        return
    for selector in rule.selectors:
        if selector.text not in coverage.tests:
            text = f"{selector.text} covers no test{coverage.hint(selector.text)}"
            yield _finding("error", "unused-selector", rule, text)
    yield from _cap(rule, coverage)
    if rule.days_left(today) <= 0:
        return
    hiding = coverage.hidden.get(rule.id, {})
    if hiding and rule.id not in coverage.speaking:
        others = ", ".join(sorted(hiding))
        yield _finding("error", "shadowed", rule, f"never speaks for a test: {others} always goes before it")
    else:
        for other, count in sorted(hiding.items()):
            text = f"does not speak for {count} of its tests where {other} does"
            yield _finding("warning", "overlap", rule, text)


def _cap(rule: Rule, coverage: Coverage) -> Iterator[Finding]:
    covered = coverage.tests_of(rule)
    if rule.max_tests is not None:
        if rule.max_tests > covered:
            text = f"max_tests is {rule.max_tests}, and it covers only {covered}"
            yield _finding("warning", "loose-cap", rule, text)
    elif rule.expect != "passes":
        # A function or a file is a cap of its own.
        for selector in rule.selectors:
            if selector.rank[0] < PATH or (selector.rank[0] == PATH and not selector.text.endswith(".py")):
                text = f"{selector.text} covers {coverage.tests.get(selector.text, 0)} tests, and there is no max_tests"
                yield _finding("warning", "uncapped", rule, text)


@dataclass(frozen=True, slots=True)
class Tie:
    """Equally specific rules that disagree about a test."""

    rules: tuple[Rule, ...]
    node: str
    environment: str

    @property
    def text(self) -> str:
        """The tie in words."""
        claims = " and ".join(f"{rule.id} expects {rule.expect}" for rule in self.rules)
        return f"{claims} of {self.node} in {self.environment}, equally specific"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How the rules of a project meet its tests."""

    tests: Mapping[str, int]
    """selector, as text → tests that it covers; every selector that covers any, whether or not a rule uses it"""
    by_rule: Mapping[str, int]
    """id → tests that any of its selectors covers"""
    speaking: frozenset[str]
    """ids of rules that speak for some test, somewhere"""
    hidden: Mapping[str, Mapping[str, int]]
    """id → id of a rule that goes before it though it expects a failure too → tests on which it does"""
    ties: tuple[Tie, ...]

    def tests_of(self, rule: Rule) -> int:
        """How many tests ``rule`` is about."""
        return self.by_rule.get(rule.id, 0)

    def hint(self, text: str) -> str:
        """Return the nearest selector that covers something, as the end of a sentence."""
        kind = parse(text).kind
        # A service that covers nothing is spelled right: its name was checked when the file was read.
        known = [key for key in self.tests if parse(key).kind == kind] if kind != "service" else []
        close = difflib.get_close_matches(text, known, n=1)
        return f"; did you mean {close[0]}?" if close else ""


def cover(
    rules: Sequence[Rule], subjects: Sequence[Subject], tolerances: Mapping[str, Tolerance], today: date
) -> Coverage:
    """Hold all ``rules`` against all ``subjects``."""
    ruleset = RuleSet(rules)
    groups = _groups(rules, subjects)
    speaking: set[str] = set()
    hidden: dict[str, Counter[str]] = {}
    ties: dict[tuple[str, ...], Tie] = {}
    for context in _contexts(rules, tolerances, today):
        counted: dict[str, Counter[str]] = {}
        for group in groups:
            standing = ruleset.standing(group.example, context)
            speaking.update(rule.id for rule in standing.winners)
            if standing.tied:
                tie = Tie(standing.tied, group.example.node, context.environment)
                ties.setdefault(tuple(rule.id for rule in tie.rules), tie)
            for loser, winner in _hiding(standing, context):
                counted.setdefault(loser, Counter())[winner] += group.size
        for loser, winners in counted.items():
            hidden[loser] = hidden.get(loser, Counter()) | winners
    tests = Counter(key for subject in subjects for key in keys_of(subject))
    return Coverage(tests, _sizes(groups), frozenset(speaking), hidden, tuple(ties.values()))


@dataclass(frozen=True, slots=True)
class _Group:
    """Tests that the same rules are about."""

    rules: tuple[str, ...]
    example: Subject
    size: int


def _groups(rules: Sequence[Rule], subjects: Iterable[Subject]) -> list[_Group]:
    about: dict[str, list[str]] = {}
    for rule in rules:
        for selector in rule.selectors:
            about.setdefault(selector.text, []).append(rule.id)
    members: dict[tuple[str, ...], list[Subject]] = {}
    for subject in subjects:
        members.setdefault(tuple(key for key in keys_of(subject) if key in about), []).append(subject)
    return [
        _Group(tuple({rule: None for key in keys for rule in about[key]}), found[0], len(found))
        for keys, found in members.items()
    ]


def _sizes(groups: Iterable[_Group]) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for group in groups:
        sizes.update(dict.fromkeys(group.rules, group.size))
    return sizes


def _contexts(rules: Iterable[Rule], tolerances: Mapping[str, Tolerance], today: date) -> Iterator[Context]:
    """Yield every combination of circumstances that makes a difference to ``rules``."""
    environments = sorted({name for rule in rules for name in rule.environments})
    capabilities = sorted({name for rule in rules for name, _ in rule.when})
    for environment in environments:
        for seen in product((True, False), repeat=len(capabilities)):
            observed = frozenset(name for name, there in zip(capabilities, seen, strict=True) if there)
            yield Context(environment, observed, today, tolerances[environment])


def _hiding(standing: Standing, context: Context) -> Iterator[tuple[str, str]]:
    """Yield (rule, winner) where both expect a failure, both apply, and only the winner is asked."""
    if standing.expect not in ("fails", "flaky"):
        return
    for rule, _ in standing.losers:
        if rule.expect in ("fails", "flaky") and rule.inapplicable(context) is None:
            for winner in standing.winners:
                yield rule.id, winner.id


Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one rule, or may be."""

    level: Level
    check: str
    """name of the check, such as ``unused``"""
    rule: str
    """id of the rule"""
    place: str
    """its file"""
    text: str


def sort_key(finding: Finding) -> tuple[bool, str, str, str]:
    """Errors first, then by file."""
    return finding.level != "error", finding.place, finding.check, finding.text
