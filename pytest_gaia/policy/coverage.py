"""Rules against the tests that there are: which cover nothing, which never speak, which disagree.

Decided on the collected tests, under every combination of environment and observed capabilities that rules ask for, by
the same code that judges.
"""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from pytest_gaia.policy.ruleset import RuleSet
from pytest_gaia.policy.selectors import keys_of, parse
from pytest_gaia.policy.subjects import Context

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from pytest_gaia.config.tolerance import Tolerance
    from pytest_gaia.policy.rules import Rule
    from pytest_gaia.policy.ruleset import Standing
    from pytest_gaia.policy.subjects import Subject


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
