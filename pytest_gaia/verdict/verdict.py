"""From judgements to one word: may the release go on, and if not, why not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_gaia.verdict.judge import EXCUSED, EXECUTED, OUTCOME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gaia.policy.rules import Rule
    from pytest_gaia.policy.subjects import Context
    from pytest_gaia.verdict.judge import Judgement, Outcome

Word = Literal["PROMOTE", "REJECT", "DRIFT", "HOLD", "INFRA"]

EXIT_CODES: dict[Word, int] = {"PROMOTE": 0, "REJECT": 1, "DRIFT": 10, "HOLD": 11, "INFRA": 12}
"""pytest's own codes, 0 to 6, keep their meaning"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the run as a whole."""

    planned: int = 0
    """tests that were selected"""
    missing: int = 0
    """selected tests of which nothing is known"""
    unavailable: str = ""
    """why the environment could not be tested"""
    interrupted: str = ""
    """why the run ended before its time"""
    changed: tuple[str, ...] = ()
    """what was another at the end than before the first test"""
    undeployed: str = ""
    """why what was to be deployed does not run"""
    unproved: str = ""
    """which tests of the sealed plan were not passed"""
    held: str = ""
    """what was found after the end of the run"""
    unused: tuple[str, ...] = ()
    """active rules that cover no test of a complete run"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The word, and every reason for it."""

    word: Word
    reasons: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """What the run ends with."""
        return EXIT_CODES[self.word]


def decide(judgements: Sequence[Judgement], rules: Sequence[Rule], facts: Facts, context: Context) -> Verdict:
    """Return the verdict. INFRA wins over REJECT over HOLD over DRIFT; only what none of them says is PROMOTE."""
    counts: Counter[Outcome] = Counter(map(OUTCOME, judgements))
    # Of those that passed, which are nearly all, everything is said by their number.
    others = [judgement for judgement in judgements if judgement.outcome != "passed" or judgement.gates]
    reasons: dict[Word, list[str]] = {
        "INFRA": [facts.unavailable] if facts.unavailable else [],
        "REJECT": [*([facts.undeployed] if facts.undeployed else []), *_gating(others)],
        "HOLD": _holding(others, counts, rules, facts, context),
        "DRIFT": _drifting(others, facts) if context.tolerance.kind != "open" else [],
    }
    for word, found in reasons.items():
        if found:
            return Verdict(word, tuple(found))
    return Verdict("PROMOTE", (f"{counts['passed']} passed",))


def excused(judgements: Sequence[Judgement]) -> int:
    """How many failures the environment's rules and tolerance have let through."""
    return sum(judgement.outcome in EXCUSED for judgement in judgements)


def _gating(judgements: Sequence[Judgement]) -> list[str]:
    gating = Counter(judgement.outcome for judgement in judgements if judgement.gates)
    return [f"{count} {outcome}" for outcome, count in gating.items()]


def _holding(
    judgements: Sequence[Judgement], counts: Counter[Outcome], rules: Sequence[Rule], facts: Facts, context: Context
) -> list[str]:
    tolerance = context.tolerance
    executed = sum(counts[outcome] for outcome in EXECUTED)
    spent = excused(judgements)
    checks = (
        (facts.held, facts.held),
        (facts.interrupted, facts.interrupted),
        (not facts.planned, "nothing was selected"),
        (not (counts["passed"] or counts["unexpected pass"]), "no test passed"),
        (counts["incomplete"], f"{counts['incomplete']} tests did not run to their end"),
        (facts.unproved, facts.unproved),
        (facts.missing > 0, f"nothing is known of {facts.missing} selected tests"),
        (executed < tolerance.least_executed, f"{executed} tests ran, at least {tolerance.least_executed} must"),
        (
            tolerance.budget is not None and spent > tolerance.budget,
            f"{spent} failures were excused, the budget is {tolerance.budget}",
        ),
    )
    found = [reason for holds, reason in checks if holds]
    return [*found, *facts.changed, *_over_their_caps(judgements, rules)]


def _over_their_caps(judgements: Sequence[Judgement], rules: Sequence[Rule]) -> list[str]:
    let_through = ("expected failure", "skipped")
    used = Counter(rule for each in judgements if each.outcome in let_through for rule in each.rules)
    capped = ((rule, used[rule.id]) for rule in rules if rule.max_tests is not None)
    return [
        f"rule {rule.id} excused {count} tests, its max_tests is {rule.max_tests}"
        for rule, count in capped
        if count > (rule.max_tests or 0)
    ]


def _drifting(judgements: Sequence[Judgement], facts: Facts) -> list[str]:
    passed = Counter(rule for each in judgements if each.outcome == "unexpected pass" for rule in each.rules)
    reasons = [f"{count} tests passed that rule {rule} expects to fail" for rule, count in passed.items()]
    return reasons + [f"rule {rule} covers no test" for rule in facts.unused]
