"""From judgements to one word: may the release go on, and if not, why not."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_gaia.policy.rules import Rule
from pytest_gaia.policy.subjects import Context
from pytest_gaia.verdict.judge import EXCUSED, EXECUTED, OUTCOME, Judgement, Outcome

Word = Literal["PROMOTE", "PARTIAL", "REJECT", "DRIFT", "HOLD", "INFRA"]

EXIT_CODES: dict[Word, int] = {"PROMOTE": 0, "PARTIAL": 0, "REJECT": 1, "DRIFT": 10, "HOLD": 11, "INFRA": 12}
"""pytest's own codes, 0 to 6, keep their meaning"""

CANNOT_PROMOTE = "partial run: cannot promote a release"
"""the first reason of every PARTIAL"""
_NAMED = 20
"""how many tests a reason names"""


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
    partial: tuple[str, ...] = ()
    """what was left out of the run; empty for a full run"""
    full_required: bool = False
    """whether a partial run is not enough"""


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
    """Return the verdict. INFRA wins over REJECT over HOLD over DRIFT over PARTIAL; all else is PROMOTE."""
    counts: Counter[Outcome] = Counter(map(OUTCOME, judgements))
    # Of those that passed, which are nearly all, everything is said by their number.
    others = [judgement for judgement in judgements if judgement.outcome != "passed" or judgement.gates]
    reasons: dict[Word, list[str]] = {
        "INFRA": [facts.unavailable] if facts.unavailable else [],
        "REJECT": [*([facts.undeployed] if facts.undeployed else []), *_gating(others)],
        "HOLD": _holding(others, counts, rules, facts, context),
        "DRIFT": _drifting(others, facts) if context.tolerance.kind != "open" else [],
        "PARTIAL": [CANNOT_PROMOTE, *facts.partial] if facts.partial else [],
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
        (
            facts.full_required and facts.partial,
            f"a full run is required (--gaia-require-full), and this one is partial: {'; '.join(facts.partial)}",
        ),
        (
            not facts.partial and executed < tolerance.least_executed,
            f"{executed} tests ran, at least {tolerance.least_executed} must",
        ),
        (
            tolerance.budget is not None and spent > tolerance.budget,
            f"{spent} failures were excused, the budget is {tolerance.budget}",
        ),
    )
    found = [reason for holds, reason in checks if holds]
    # A part of the suites cannot show whether the number in the file is wrong: it only warns.
    return [*found, *facts.changed, *([] if facts.partial else over_caps(judgements, rules))]


def over_caps(judgements: Iterable[Judgement], rules: Iterable[Rule]) -> list[str]:
    """Return a sentence for each rule that excused more tests than its ``max_tests`` allows, and what to do about it."""
    excused: defaultdict[str, list[str]] = defaultdict(list)
    for each in judgements:
        if each.outcome in ("expected failure", "skipped"):
            for rule in each.rules:
                excused[rule].append(each.node)
    capped = ((rule, rule.max_tests, excused[rule.id]) for rule in rules if rule.max_tests is not None)
    return [_over_its_cap(rule, most, nodes) for rule, most, nodes in capped if len(nodes) > most]


def _over_its_cap(rule: Rule, most: int, nodes: Sequence[str]) -> str:
    line = f":{rule.max_tests_line}" if rule.max_tests_line else ""
    place = f" ({rule.place}{line})" if rule.place else ""
    more = f" and {len(nodes) - _NAMED} more (-v names them)" if len(nodes) > _NAMED else ""
    return (
        f"rule {rule.id}{place} excused {len(nodes)} tests, its max_tests is {most}; "
        f"set max_tests = {len(nodes)} if they all fail for its reason: {', '.join(nodes[:_NAMED])}{more}"
    )


def _drifting(judgements: Sequence[Judgement], facts: Facts) -> list[str]:
    passed = Counter(rule for each in judgements if each.outcome == "unexpected pass" for rule in each.rules)
    reasons = [f"{count} tests passed that rule {rule} expects to fail" for rule, count in passed.items()]
    return reasons + [f"rule {rule} covers no test" for rule in facts.unused]
