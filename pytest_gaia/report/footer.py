"""The end of a run in words: the rules that were met, what did not apply and why, and the verdict."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_gaia.report.table import aligned

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from pytest_gaia.policy.rules import Rule
    from pytest_gaia.verdict.judge import Outcome
    from pytest_gaia.verdict.judged import Judged

_SOON = 7
"""days before the end of a rule from which on every run says so"""


def notes(judged: Judged) -> list[str]:
    """Return what the verdict rests on: rules, warnings, what does not apply, and what production would say."""
    return [
        *_titled("expected failures", _rules(judged)),
        *_titled("warnings", list(_warnings(judged))),
        *_titled("not applicable", _reasons(judged)),
        *_production(judged),
    ]


def gating(judged: Judged, shown: Container[str] = ()) -> list[str]:
    """Return a line for each test that gates: where, what it came to, and the first reason. ``shown`` are left out."""
    gates = (each for each in judged.judgements if each.gates and each.node not in shown)
    lines = ((each.node, each.outcome, each.why.partition("\n")[0]) for each in gates)
    return _titled("gating", [f"  {node}: {outcome}: {why}" for node, outcome, why in lines])


def verdict_line(label: str, judged: Judged) -> str:
    """Return the one line that says how the run ended; ``label`` is the environment as people should read it."""
    verdict = judged.verdict
    counts = [f"{judged.counts[outcome]} {outcome}" for outcome in _SHOWN if judged.counts[outcome]]
    reasons = verdict.reasons if verdict.word != "PROMOTE" else ()
    return f"gaia verdict: {verdict.word} on {label}: {', '.join([*reasons, *_new(counts, reasons)])}"


_SHOWN: tuple[Outcome, ...] = (
    "passed",
    "expected failure",
    "tolerated",
    "unexpected pass",
    "not applicable",
    "skipped",
)


def _new(counts: Sequence[str], reasons: Sequence[str]) -> list[str]:
    return [count for count in counts if count not in reasons]


def _rules(judged: Judged) -> list[str]:
    used = [(rule, judged.using(rule)) for rule in judged.rules]
    rows = [
        (
            f"  {count}",
            "×",
            rule.id,
            rule.issue,
            rule.owner,
            f"{rule.days_left(judged.context.today)} days left",
            rule.why,
        )
        for rule, count in used
        if count
    ]
    budget = judged.context.tolerance.budget
    spent = [f"  {judged.excused} of a budget of {budget}"] if rows and budget is not None else []
    return [*aligned(rows), *spent]


def _warnings(judged: Judged) -> Iterator[str]:
    today, name = judged.context.today, judged.context.environment
    for rule in (rule for rule in judged.rules if name in rule.environments):
        left = rule.days_left(today)
        if left <= 0:
            yield f"  rule {rule.id} expired {rule.expires} and excuses nothing; {_ask(rule)}"
        elif left <= _SOON:
            yield f"  rule {rule.id} expires in {left} days; {_ask(rule)}"
    for judgement in judged.judgements:
        if judgement.outcome == "unexpected pass" or (judgement.outcome == "passed" and judgement.why):
            yield f"  {judgement.node}: {judgement.outcome}: {judgement.why}"


def _ask(rule: Rule) -> str:
    return f"ask {rule.owner} ({rule.issue})"


def _reasons(judged: Judged) -> list[str]:
    counted = Counter(each.why for each in judged.judgements if each.outcome == "not applicable")
    return [f"  {count} × {reason}" for reason, count in counted.items()]


def _production(judged: Judged) -> list[str]:
    if not judged.gating_in_production or judged.context.environment == "production":
        return []
    return [f"gaia: under production's rules: {judged.gating_in_production} would gate"]


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    return [f"gaia: {title}", *lines] if lines else []
