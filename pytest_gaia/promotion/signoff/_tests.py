"""Single tests and expectations: known failures, blockers, unused expectations, and tests that did not run."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date

from pytest_gaia.promotion.gate.gate import Gate
from pytest_gaia.promotion.signoff._context import KnownRun, PageContext, allure_link
from pytest_gaia.report.signoff.page import Blocking, KnownFailure, Untested, UnusedExpectation
from pytest_gaia.verdict.classify import ACCEPTED, EXECUTED
from pytest_gaia.verdict.report import ClassifiedTest, ExpectationUse

_TOLERATED = "no expectation covers these failures; the environment tolerates failures of tests that are not core"
# Verdict files of earlier versions have the first two texts.
_ELSEWHERE = re.compile(r" is not among |excuses nothing$|^applies to | has strict tolerance$")  # glossary: ok
"""reasons why an expectation does not apply that need no attention"""
_UNKNOWN = "covered by an expectation; its name is not known, because the verdict file of the run is missing"


_NOT_TESTED = {
    "not applicable": "not applicable",
    "skipped": "skipped",
    "deselected": "deselected",
    "not collected": "blocked: could not be loaded",
    "incomplete": "interrupted",
}
_NEVER_RAN = "never ran"
_LINES = 3
"""shown lines of the reason of a failed test"""


def known_failures(context: PageContext) -> tuple[KnownFailure, ...]:
    """Return each known cause with all tests that it covers; those that end first come first."""
    tests: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, test in _covered(context):
        for key in [(expectation, "") for expectation in test.expectations] or [
            ("", _TOLERATED if test.outcome == "tolerated" else test.reason)
        ]:
            tests[key][name].add(test.node)
    for name, nodes in _unnamed(context).items():
        tests["", _UNKNOWN][name] |= nodes
    expectations = _expectations(context)
    found = [
        _known(context, expectation, reason, expectations.get(expectation), nodes)
        for (expectation, reason), nodes in tests.items()
    ]
    return tuple(sorted(found, key=lambda each: (each.days_left is None, each.days_left, each.expectation)))


def unused_expectations(context: PageContext) -> tuple[UnusedExpectation, ...]:
    """Return the expectations that decided no test of any run; those that applied and matched nothing come first."""
    deciding = {expectation for _, test in _tests(context) for expectation in test.expectations}
    reasons: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, seen in context.runs.items():
        for use in seen.verdict.expectations if seen.verdict else ():
            if use.id not in deciding:
                reasons[use.id][use.applies].append(name)
    expectations = _expectations(context)
    ordered = sorted(reasons, key=lambda each: "" not in reasons[each])
    return tuple(_unused(context, expectations[each], reasons[each]) for each in ordered)


def expectations_of(context: PageContext) -> dict[str, list[str]]:
    """Return digest of expectations → environments whose runs used them."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, seen in context.runs.items():
        if seen.verdict:
            found[seen.verdict.expectations_digest].append(name)
    return found


def ran_of_planned(context: PageContext) -> tuple[int, int]:
    """Return how many tests ran in at least one environment, and how many the runs with a verdict file planned."""
    executed, planned = _executed(context), {test.node for _, test in _tests(context)}
    for seen in context.runs.values():
        if seen.verdict and seen.evidence:
            planned |= set(seen.evidence.says.details.missing)
    return len(executed), len(planned)


def _executed(context: PageContext) -> set[str]:
    return {test.node for _, test in _tests(context) if test.outcome in EXECUTED}


def _tests(context: PageContext) -> Iterator[tuple[str, ClassifiedTest]]:
    for name, seen in context.runs.items():
        yield from ((name, test) for test in (seen.verdict.tests if seen.verdict else ()))


def _covered(context: PageContext) -> Iterator[tuple[str, ClassifiedTest]]:
    return ((name, test) for name, test in _tests(context) if test.outcome in ACCEPTED)


def _unnamed(context: PageContext) -> dict[str, set[str]]:
    """Return environment → tests with an expected failure, for runs whose verdict file is missing."""
    alone = ((name, seen.evidence) for name, seen in context.runs.items() if seen.verdict is None)
    return {name: set(run.says.details.expected) for name, run in alone if run and run.says.details.expected}


def _expectations(context: PageContext) -> dict[str, ExpectationUse]:
    """Return every expectation of every run by its id, as the last run on the way recorded it."""
    return {use.id: use for seen in context.runs.values() if seen.verdict for use in seen.verdict.expectations}


def _known(
    context: PageContext, expectation: str, reason: str, use: ExpectationUse | None, nodes: Mapping[str, set[str]]
) -> KnownFailure:
    return KnownFailure(
        expectation=expectation,
        reason=use.reason if use else reason or "the run has no reason for this expectation",
        issue=use.issue if use else "",
        issue_link=context.links.issue(use.issue) if use else "",
        owner=use.owner if use else "",
        expires=use.expires if use else "",
        days_left=_days_left(context, use) if use else None,
        environments=tuple((name, len(nodes[name])) for name in context.names if name in nodes),
        tests=tuple(sorted(set().union(*nodes.values()))),
    )


def _unused(context: PageContext, use: ExpectationUse, reasons: Mapping[str, list[str]]) -> UnusedExpectation:
    # "It is for other environments" is shown only if there is no other reason.
    telling = [each for each in reasons if not _ELSEWHERE.search(each)] or list(reasons)
    shown = tuple(
        f"{', '.join(reasons[each])}: {each.removeprefix(f'{reasons[each][0]} ') or 'it matched no failure'}"
        for each in sorted(telling)
    )
    return UnusedExpectation(use.id, use.owner, use.issue, use.expires, _days_left(context, use), shown)


def _days_left(context: PageContext, use: ExpectationUse) -> int:
    """Return the remaining days on the day of the page, not on that of the run."""
    return (date.fromisoformat(use.expires) - context.now.date()).days


def blocking(context: PageContext, gate: Gate) -> tuple[Blocking, ...]:
    """Return the checks of the gate that did not pass, every blocking test, and every unexpected pass."""
    checks = [
        Blocking(item.title, gate.environment, item.finding.reason, item.finding.next)
        for item in gate.checks
        if not item.good
    ]
    return (*checks, *(each for seen in context.runs.values() for each in _blocking_tests(context, seen)))


def untested(context: PageContext) -> tuple[Untested, ...]:
    """Return the planned tests that did not run, grouped by reason; those that ran in no environment come first."""
    executed = _executed(context)
    groups: dict[tuple[str, str, str, bool], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, seen in context.runs.items():
        for node, outcome, reason in _not_run(name, seen):
            groups[_suite_of(node), outcome, reason, node not in executed][name].append(node)
    found = [_group(key, nodes) for key, nodes in groups.items()]
    found.sort(key=lambda each: (not each.nowhere, -each.count, each.suite))
    return (*_without_names(context), *found)


def _blocking_tests(context: PageContext, seen: KnownRun) -> Iterator[Blocking]:
    if seen.verdict is None:
        failed = seen.evidence.says.failed if seen.evidence else ()
        reason = "required, without an accepted result; details are not known, because the verdict file is missing"
        yield from (
            Blocking(node, seen.environment, reason, link=allure_link(context.allure, seen.environment, node))
            for node in failed
        )
        return
    for test in seen.verdict.tests:
        if test.blocks or test.outcome in ("unexpected pass", "incomplete", "without evidence"):
            reason = "\n".join(test.reason.splitlines()[:_LINES])
            link = allure_link(context.allure, seen.environment, test.node)
            text = f"{test.outcome}: {reason}" if reason else test.outcome
            yield Blocking(test.node, seen.environment, text, link=link)


def _not_run(name: str, seen: KnownRun) -> Iterator[tuple[str, str, str]]:
    if seen.verdict is None:
        return
    for test in seen.verdict.tests:
        if test.outcome in _NOT_TESTED:
            # Equal reasons of two environments become one row; the environments have a column of their own.
            reason = test.reason.removeprefix(f"{name} ")
            used = test.outcome == "skipped" and test.expectations
            by = f" (expectation {', '.join(test.expectations)})" if used else ""
            yield test.node, _NOT_TESTED[test.outcome], (reason or "no reason given") + by
    reported = {test.node for test in seen.verdict.tests}
    for node in seen.evidence.says.details.missing if seen.evidence else ():
        if node not in reported:
            yield node, _NEVER_RAN, "required, without a result in this run"


def _group(key: tuple[str, str, str, bool], nodes: dict[str, list[str]]) -> Untested:
    suite, outcome, reason, nowhere = key
    names = tuple(sorted({node for found in nodes.values() for node in found}))
    return Untested(suite, outcome, reason, tuple(nodes), names, len(names), nowhere)


def _without_names(context: PageContext) -> Iterator[Untested]:
    """Return what is known of environments without a run, and of runs without a verdict file."""
    for name, seen in context.runs.items():
        if seen.evidence is None and seen.verdict is None:
            yield Untested("all suites", "no run", "no valid run of this release", (name,), (), 0, True)
        elif seen.verdict is None and seen.evidence is not None:
            counts = seen.evidence.says.details.counts
            for outcome, shown in _NOT_TESTED.items():
                if count := counts.get(outcome, 0):
                    reason = "names and reasons are not known, because the verdict file of the run is missing"
                    yield Untested("not known", shown, reason, (name,), (), count, True)


def _suite_of(node: str) -> str:
    """Return the folder of a test, which is its suite."""
    parts = node.partition("::")[0].split("/")
    return parts[-2] if len(parts) > 1 else parts[0]
