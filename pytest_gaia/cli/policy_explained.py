"""What the rules say of one test, in words and as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pytest_gaia.cli.policy_shown import condition, life, rule_json, signature
from pytest_gaia.policy.rules import Rule
from pytest_gaia.policy.ruleset import RuleSet, Standing
from pytest_gaia.policy.subjects import Context, Subject
from pytest_gaia.verdict.evidence import TestRecord
from pytest_gaia.verdict.judge import Judgement, judge


def explained(
    subject: Subject, standing: Standing, records: Sequence[TestRecord], context: Context, *, recorded: bool
) -> Iterator[str]:
    """Yield the lines that explain how rules stand to ``subject``, and what became of its ``records``."""
    seen = "observed" if recorded else "taken to answer, as declared"
    yield subject.node
    yield f"  markers:     {', '.join(sorted(subject.markers)) or 'none'}"
    yield f"  services:    {', '.join(sorted(subject.services)) or 'none'}"
    yield f"  environment: {context.environment}, tolerance {context.tolerance.kind}, on {context.today}"
    yield f"  {seen}: {', '.join(sorted(context.capabilities)) or 'nothing'}"
    if context.unknown:
        yield f"  not known: {', '.join(sorted(context.unknown))}"
    yield ""
    yield from _winners(standing, context)
    for rule, why in standing.losers:
        yield f"  lost: {rule.id} ({', '.join(_covering(rule, standing))}): {why}"
    for judgement in _judged(records, standing, context):
        yield ""
        yield f"In this run: {judgement.outcome}{', which gates' if judgement.gates else ''}"
        yield from (f"  {line}" for line in judgement.why.splitlines())


def explained_json(
    subject: Subject, standing: Standing, records: Sequence[TestRecord], context: Context
) -> dict[str, Any]:
    """Return the same as plain values."""
    return {
        "node": subject.node,
        "markers": sorted(subject.markers),
        "services": sorted(subject.services),
        "environment": context.environment,
        "tolerance": context.tolerance.kind,
        "date": context.today.isoformat(),
        "capabilities": sorted(context.capabilities),
        "unknown": sorted(context.unknown),
        "winners": [rule_json(rule, context.today) for rule in standing.winners],
        "losers": [{"rule": rule.id, "why": why} for rule, why in standing.losers],
        "judgements": [
            {"outcome": each.outcome, "gates": each.gates, "why": each.why}
            for each in _judged(records, standing, context)
        ],
    }


def _winners(standing: Standing, context: Context) -> Iterator[str]:
    if not standing.winners:
        yield "No rule speaks for it: if it fails, that counts in full."
    for rule in standing.winners:
        yield f"{rule.id} speaks for it ({', '.join(_covering(rule, standing))}): {_expectation(rule)}"
        yield f"  why:   {rule.why}"
        yield f"  who:   {rule.owner}, {rule.issue}, {life(rule, context.today)} left, {rule.place}"
        if rule.when:
            yield f"  when:  {', '.join(condition(*each) for each in rule.when)}"


def _expectation(rule: Rule) -> str:
    if rule.expect in ("passes", "skips"):
        return f"it {rule.expect}"
    verb = "fails" if rule.expect == "fails" else "may fail"
    return f"it {verb} in {' or '.join(rule.phase_names)} with {signature(rule)}"


def _covering(rule: Rule, standing: Standing) -> list[str]:
    return [selector.text for selector in rule.selectors if selector.text in standing.keys]


def _judged(records: Sequence[TestRecord], standing: Standing, context: Context) -> list[Judgement]:
    rules = RuleSet([*standing.winners, *(rule for rule, _ in standing.losers)])
    return [judge(record, rules, context) for record in records]
