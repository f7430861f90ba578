"""What is wrong with rules although each of them can be read: dates, twins, and rules that do nothing."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from pytest_gaia.policy.coverage import Coverage, cover
from pytest_gaia.policy.findings import Finding, sort_key
from pytest_gaia.policy.selectors import PATH
from pytest_gaia.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from pytest_gaia.config.tolerance import Tolerance
    from pytest_gaia.policy.findings import Level
    from pytest_gaia.policy.rules import Rule
    from pytest_gaia.policy.subjects import Subject

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
