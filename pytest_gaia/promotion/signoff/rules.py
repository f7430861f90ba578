"""What is known to fail, who answers for it and until when; and rules that nothing needed any more."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date

from pytest_gaia.policy.files import folders_of, read
from pytest_gaia.promotion.signoff.look import Look
from pytest_gaia.promotion.signoff.words import in_words, issue_link
from pytest_gaia.report.signoff.page import IdleRule, KnownFailure, RuleAge
from pytest_gaia.verdict.judge import EXCUSED
from pytest_gaia.verdict.report import JudgedTest, RuleUse, policy_digest

_TOLERATED = "not excused by a rule: the environment's tolerance lets failures of checks that are not core through"
_ELSEWHERE = re.compile(r" is not among |excuses nothing$")
"""reasons for which a rule does not apply that are no news"""
_UNKNOWN = "excused by a rule; which one is not known here, because the verdict file of the run is missing"


def known_failures(look: Look) -> tuple[KnownFailure, ...]:
    """Return each known cause with all tests that it excused on the way; those that end first come first."""
    tests: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, test in _excused(look):
        for key in [(rule, "") for rule in test.rules] or [
            ("", _TOLERATED if test.outcome == "tolerated" else test.why)
        ]:
            tests[key][name].add(test.node)
    for name, nodes in _unnamed(look).items():
        tests["", _UNKNOWN][name] |= nodes
    rules = _rules(look)
    found = [_known(look, rule, why, rules.get(rule), nodes) for (rule, why), nodes in tests.items()]
    return tuple(sorted(found, key=lambda each: (each.days_left is None, each.days_left, each.rule)))


def idle_rules(look: Look) -> tuple[IdleRule, ...]:
    """Return the rules that decided no test of any run, those first that applied and matched nothing."""
    deciding = {rule for _, test in _tests(look) for rule in test.rules}
    why: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, seen in look.runs.items():
        for use in seen.verdict.rules if seen.verdict else ():
            if use.id not in deciding:
                why[use.id][use.applies].append(name)
    rules = _rules(look)
    found = [_idle(look, rules[rule], reasons) for rule, reasons in why.items()]
    return tuple(found[place] for place in sorted(range(len(found)), key=lambda each: "" not in why[found[each].rule]))


def rule_ages(look: Look) -> tuple[tuple[RuleAge, ...], tuple[str, ...]]:
    """Return how old each rule of the runs is, and what is not known of that. A verdict file does not say when a rule began."""
    rules = _rules(look)
    if not rules:
        return (), ()
    project = look.promotion.project
    reading = read(folders_of(project.suites), project.tolerances, rootdir=project.rootdir)
    policies = {seen.verdict.policy for seen in look.runs.values() if seen.verdict}
    gaps = [] if not reading.mistakes else ["rules of the work tree that cannot be read have no age here"]
    if policies != {policy_digest(tuple(reading.rules))}:
        gaps.append("the rules of the work tree are not those of every run; ages are those of the work tree")
    added = {rule.id: rule.added for rule in reading.rules}
    used = {rule for _, test in _excused(look) for rule in test.rules}
    today = look.now.date()
    ages = [
        RuleAge(rule, (today - added[rule]).days, _days_left(look, use), rule in used)
        for rule, use in rules.items()
        if rule in added
    ]
    return tuple(sorted(ages, key=lambda each: (not each.used, each.days_left, each.rule))), tuple(gaps)


def policies_of(look: Look) -> dict[str, list[str]]:
    """Return digest of rules → environments whose runs were judged by them."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, seen in look.runs.items():
        if seen.verdict:
            found[seen.verdict.policy].append(name)
    return found


def _tests(look: Look) -> Iterator[tuple[str, JudgedTest]]:
    for name, seen in look.runs.items():
        yield from ((name, test) for test in (seen.verdict.tests if seen.verdict else ()))


def _excused(look: Look) -> Iterator[tuple[str, JudgedTest]]:
    return ((name, test) for name, test in _tests(look) if test.outcome in EXCUSED)


def _unnamed(look: Look) -> dict[str, set[str]]:
    """Return environment → excused tests of which the ledger has the names alone."""
    alone = ((name, seen.evidence) for name, seen in look.runs.items() if seen.verdict is None)
    return {name: set(run.says.details.expected) for name, run in alone if run and run.says.details.expected}


def _rules(look: Look) -> dict[str, RuleUse]:
    """Return every rule of every run by its id, as the run furthest on the way knew it."""
    return {use.id: use for seen in look.runs.values() if seen.verdict for use in seen.verdict.rules}


def _known(look: Look, rule: str, why: str, use: RuleUse | None, nodes: Mapping[str, set[str]]) -> KnownFailure:
    return KnownFailure(
        rule=rule,
        why=use.why if use else why or "the run does not say what this rule is about",
        issue=use.issue if use else "",
        issue_link=issue_link(use.issue) if use else "",
        owner=use.owner if use else "",
        expires=use.expires if use else "",
        days_left=_days_left(look, use) if use else None,
        environments=tuple((name, len(nodes[name])) for name in look.names if name in nodes),
        tests=tuple(sorted(set().union(*nodes.values()))),
    )


def _idle(look: Look, use: RuleUse, reasons: Mapping[str, list[str]]) -> IdleRule:
    # That a rule is for other environments says nothing, unless nothing else is to be said of it.
    telling = [each for each in reasons if not _ELSEWHERE.search(each)] or list(reasons)
    why = tuple(
        f"{in_words(reasons[each])}: {each.removeprefix(f'{reasons[each][0]} ') or 'in force, and no test needed it'}"
        for each in sorted(telling)
    )
    return IdleRule(use.id, use.owner, use.issue, use.expires, _days_left(look, use), why)


def _days_left(look: Look, use: RuleUse) -> int:
    """Return the days on the day of the page, not on that of the run."""
    return (date.fromisoformat(use.expires) - look.now.date()).days
