"""Single tests and rules: what is known to fail and who answers for it, what stands in the way, and what was not tested."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date

from pytest_gaia.expectations.files import folders_of, read
from pytest_gaia.promotion.gate.gate import Gate
from pytest_gaia.promotion.signoff._look import Look, RunSeen, issue_link, linked
from pytest_gaia.report.signoff.page import Blocking, ExpectationAge, IdleExpectation, KnownFailure, Untested
from pytest_gaia.verdict.classify import ACCEPTED, EXECUTED
from pytest_gaia.verdict.report import ClassifiedTest, ExpectationUse, expectations_digest

_TOLERATED = "not excused by a rule: the environment's tolerance lets failures of checks that are not core through"
_ELSEWHERE = re.compile(r" is not among |excuses nothing$")
"""reasons for which a rule does not apply that are no news"""
_UNKNOWN = "excused by a rule; which one is not known here, because the verdict file of the run is missing"


_NOT_TESTED = {
    "not applicable": "not applicable",
    "skipped": "skipped",
    "deselected": "deselected",
    "not collected": "blocked: could not be loaded",
    "incomplete": "cut off",
}
_NEVER_RAN = "never ran"
_LINES = 3
"""of why a test failed, that a page has room for"""


def known_failures(look: Look) -> tuple[KnownFailure, ...]:
    """Return each known cause with all tests that it excused on the way; those that end first come first."""
    tests: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, test in _accepted(look):
        for key in [(expectation, "") for expectation in test.expectations] or [
            ("", _TOLERATED if test.outcome == "tolerated" else test.reason)
        ]:
            tests[key][name].add(test.node)
    for name, nodes in _unnamed(look).items():
        tests["", _UNKNOWN][name] |= nodes
    expectations = _expectations(look)
    found = [
        _known(look, expectation, why, expectations.get(expectation), nodes)
        for (expectation, why), nodes in tests.items()
    ]
    return tuple(sorted(found, key=lambda each: (each.days_left is None, each.days_left, each.expectation)))


def idle_expectations(look: Look) -> tuple[IdleExpectation, ...]:
    """Return the rules that decided no test of any run, those first that applied and matched nothing."""
    deciding = {expectation for _, test in _tests(look) for expectation in test.expectations}
    why: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, seen in look.runs.items():
        for use in seen.verdict.expectations if seen.verdict else ():
            if use.id not in deciding:
                why[use.id][use.applies].append(name)
    expectations = _expectations(look)
    found = [_idle(look, expectations[expectation], reasons) for expectation, reasons in why.items()]
    return tuple(
        found[place] for place in sorted(range(len(found)), key=lambda each: "" not in why[found[each].expectation])
    )


def expectation_ages(look: Look) -> tuple[tuple[ExpectationAge, ...], tuple[str, ...]]:
    """Return how old each rule of the runs is, and what is not known of that. A verdict file does not say when a rule began."""
    expectations = _expectations(look)
    if not expectations:
        return (), ()
    project = look.promotion.project
    reading = read(folders_of(project.suites), project.tolerances, rootdir=project.rootdir)
    digests = {seen.verdict.expectations_digest for seen in look.runs.values() if seen.verdict}
    gaps = [] if not reading.usage_errors else ["rules of the work tree that cannot be read have no age here"]
    if digests != {expectations_digest(tuple(reading.expectations))}:
        gaps.append("the rules of the work tree are not those of every run; ages are those of the work tree")
    added = {expectation.id: expectation.added for expectation in reading.expectations}
    used = {expectation for _, test in _accepted(look) for expectation in test.expectations}
    today = look.now.date()
    ages = [
        ExpectationAge(expectation, (today - added[expectation]).days, _days_left(look, use), expectation in used)
        for expectation, use in expectations.items()
        if expectation in added
    ]
    return tuple(sorted(ages, key=lambda each: (not each.used, each.days_left, each.expectation))), tuple(gaps)


def expectations_of(look: Look) -> dict[str, list[str]]:
    """Return digest of rules → environments whose runs were judged by them."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, seen in look.runs.items():
        if seen.verdict:
            found[seen.verdict.expectations_digest].append(name)
    return found


def _tests(look: Look) -> Iterator[tuple[str, ClassifiedTest]]:
    for name, seen in look.runs.items():
        yield from ((name, test) for test in (seen.verdict.tests if seen.verdict else ()))


def _accepted(look: Look) -> Iterator[tuple[str, ClassifiedTest]]:
    return ((name, test) for name, test in _tests(look) if test.outcome in ACCEPTED)


def _unnamed(look: Look) -> dict[str, set[str]]:
    """Return environment → excused tests of which the ledger has the names alone."""
    alone = ((name, seen.evidence) for name, seen in look.runs.items() if seen.verdict is None)
    return {name: set(run.says.details.expected) for name, run in alone if run and run.says.details.expected}


def _expectations(look: Look) -> dict[str, ExpectationUse]:
    """Return every rule of every run by its id, as the run furthest on the way knew it."""
    return {use.id: use for seen in look.runs.values() if seen.verdict for use in seen.verdict.expectations}


def _known(
    look: Look, expectation: str, why: str, use: ExpectationUse | None, nodes: Mapping[str, set[str]]
) -> KnownFailure:
    return KnownFailure(
        expectation=expectation,
        why=use.reason if use else why or "the run does not say what this rule is about",
        issue=use.issue if use else "",
        issue_link=issue_link(use.issue) if use else "",
        owner=use.owner if use else "",
        expires=use.expires if use else "",
        days_left=_days_left(look, use) if use else None,
        environments=tuple((name, len(nodes[name])) for name in look.names if name in nodes),
        tests=tuple(sorted(set().union(*nodes.values()))),
    )


def _idle(look: Look, use: ExpectationUse, reasons: Mapping[str, list[str]]) -> IdleExpectation:
    # That a rule is for other environments says nothing, unless nothing else is to be said of it.
    telling = [each for each in reasons if not _ELSEWHERE.search(each)] or list(reasons)
    why = tuple(
        f"{', '.join(reasons[each])}: {each.removeprefix(f'{reasons[each][0]} ') or 'in force, and no test needed it'}"
        for each in sorted(telling)
    )
    return IdleExpectation(use.id, use.owner, use.issue, use.expires, _days_left(look, use), why)


def _days_left(look: Look, use: ExpectationUse) -> int:
    """Return the days on the day of the page, not on that of the run."""
    return (date.fromisoformat(use.expires) - look.now.date()).days


def blocking(look: Look, gate: Gate) -> tuple[Blocking, ...]:
    """Return the items of the gate that are open, and every test that gates or that a rule expects to fail and passed."""
    items = [
        Blocking(item.title, gate.environment, item.finding.why, item.finding.next)
        for item in gate.items
        if not item.good
    ]
    return (*items, *(each for seen in look.runs.values() for each in _blocking_tests(look, seen)))


def untested(look: Look) -> tuple[Untested, ...]:
    """Return what has shown nothing, in groups of one reason each: what no environment of the way has tested comes first."""
    executed = {
        test.node for seen in look.runs.values() if seen.verdict for test in seen.verdict.tests if _ran(test.outcome)
    }
    groups: dict[tuple[str, str, str, bool], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, seen in look.runs.items():
        for node, outcome, why in _left_out(name, seen):
            groups[_suite_of(node), outcome, why, node not in executed][name].append(node)
    found = [_group(key, nodes) for key, nodes in groups.items()]
    found.sort(key=lambda each: (not each.nowhere, -each.count, each.suite))
    return (*_without_names(look), *found)


def _blocking_tests(look: Look, seen: RunSeen) -> Iterator[Blocking]:
    if seen.verdict is None:
        failed = seen.evidence.says.failed if seen.evidence else ()
        why = "sealed, and neither passed nor excused; why is not known here, because the verdict file is missing"
        yield from (
            Blocking(node, seen.environment, why, link=linked(look.allure, seen.environment, node)) for node in failed
        )
        return
    for test in seen.verdict.tests:
        if test.blocks or test.outcome in ("unexpected pass", "incomplete"):
            why = "\n".join(test.reason.splitlines()[:_LINES])
            link = linked(look.allure, seen.environment, test.node)
            yield Blocking(test.node, seen.environment, f"{test.outcome}: {why}" if why else test.outcome, link=link)


def _left_out(name: str, seen: RunSeen) -> Iterator[tuple[str, str, str]]:
    if seen.verdict is None:
        return
    for test in seen.verdict.tests:
        if test.outcome in _NOT_TESTED:
            # The same reason in two environments is one: what is named there is told beside it.
            why = test.reason.removeprefix(f"{name} ") if test.reason.startswith(f"{name} does") else test.reason
            expectations = (
                f" (rule {', '.join(test.expectations)})" if test.outcome == "skipped" and test.expectations else ""
            )
            yield test.node, _NOT_TESTED[test.outcome], (why or "no reason was given") + expectations
    told = {test.node for test in seen.verdict.tests}
    for node in seen.evidence.says.details.missing if seen.evidence else ():
        if node not in told:
            yield node, _NEVER_RAN, "sealed, and the run says nothing of it"


def _group(key: tuple[str, str, str, bool], nodes: dict[str, list[str]]) -> Untested:
    suite, outcome, why, nowhere = key
    names = tuple(sorted({node for found in nodes.values() for node in found}))
    return Untested(suite, outcome, why, tuple(nodes), names, len(names), nowhere)


def _without_names(look: Look) -> Iterator[Untested]:
    """Return what is known of runs that left no file, and of environments without a run: numbers, or nothing at all."""
    for name, seen in look.runs.items():
        if seen.evidence is None and seen.verdict is None:
            yield Untested("everything", "no run", "no run of this release counts as evidence", (name,), (), 0, True)
        elif seen.verdict is None and seen.evidence is not None:
            counts = seen.evidence.says.details.counts
            for outcome, shown in _NOT_TESTED.items():
                if count := counts.get(outcome, 0):
                    why = "which tests and why is not known here, because the verdict file of the run is missing"
                    yield Untested("not known", shown, why, (name,), (), count, True)


def _ran(outcome: str) -> bool:
    return outcome in EXECUTED


def _suite_of(node: str) -> str:
    """Return the folder that a test stands in: its suite."""
    parts = node.partition("::")[0].split("/")
    return parts[-2] if len(parts) > 1 else parts[0]
