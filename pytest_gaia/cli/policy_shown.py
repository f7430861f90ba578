"""Rules as people and JSON readers see them."""

from __future__ import annotations

from datetime import date
from typing import Any

from pytest_gaia.policy.lint import SOON
from pytest_gaia.policy.rules import Rule
from pytest_gaia.wording import counted


def rule_json(rule: Rule, today: date) -> dict[str, Any]:
    """Return ``rule`` as plain values."""
    return {
        "id": rule.id,
        "file": rule.place,
        "why": rule.why,
        "issue": rule.issue,
        "owner": rule.owner,
        "added": rule.added.isoformat(),
        "expires": rule.expires.isoformat(),
        "days_left": rule.days_left(today),
        "environments": list(rule.environments),
        "tests": [selector.text for selector in rule.selectors],
        "expect": rule.expect,
        "phase": list(rule.phase_names),
        "when": [condition(*each) for each in rule.when],
        "match": {key: list(getattr(rule.match, key)) for key in rule.match.keys},
        "max_tests": rule.max_tests,
    }


def condition(capability: str, wanted: bool) -> str:
    """Return a condition as rules write it."""
    return capability if wanted else f"!{capability}"


def signature(rule: Rule) -> str:
    """Return in words how a failure must look for ``rule`` to excuse it."""
    fields = (f"{key} {'|'.join(map(str, getattr(rule.match, key)))}" for key in rule.match.keys)
    return ", ".join(fields) or "anything"


def life(rule: Rule, today: date) -> str:
    """Return how much longer ``rule`` applies."""
    left = rule.days_left(today)
    if left <= 0:
        return f"expired {rule.expires}"
    return counted(left, "day") if left > SOON else f"{counted(left, 'day')}!"
