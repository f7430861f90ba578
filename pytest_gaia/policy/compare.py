"""What one environment excuses and another does not, by the rules alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_gaia.policy.rules import Rule
    from pytest_gaia.policy.ruleset import RuleSet
    from pytest_gaia.policy.subjects import Context, Subject


@dataclass(frozen=True, slots=True)
class Difference:
    """A rule that speaks for tests here and not there."""

    rule: Rule
    why: str
    """why not there"""
    nodes: tuple[str, ...]


def differences(rules: RuleSet, subjects: Iterable[Subject], here: Context, there: Context) -> list[Difference]:
    """Return, by rule, the tests that may fail (or be skipped) ``here`` and not ``there``."""
    found: dict[tuple[str, str], tuple[Rule, list[str]]] = {}
    for subject in subjects:
        away = rules.standing(subject, there)
        reasons = {rule.id: why for rule, why in away.losers}
        for rule in rules.standing(subject, here).winners:
            if rule.expect == "passes" or rule in away.winners:
                continue
            found.setdefault((rule.id, reasons[rule.id]), (rule, []))[1].append(subject.node)
    return [
        Difference(rule, why, tuple(nodes)) for (_, why), (rule, nodes) in sorted(found.items(), key=lambda it: it[0])
    ]
