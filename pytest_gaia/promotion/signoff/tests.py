"""Single tests: what stands in the way, and what was not tested."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from pytest_gaia.promotion.gate import Gate
from pytest_gaia.promotion.signoff.look import Look, RunSeen
from pytest_gaia.promotion.signoff.words import linked, suite_of
from pytest_gaia.report.signoff.page import Blocking, Untested
from pytest_gaia.verdict.judge import EXECUTED

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
            groups[suite_of(node), outcome, why, node not in executed][name].append(node)
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
        if test.gates or test.outcome in ("unexpected pass", "incomplete"):
            why = "\n".join(test.why.splitlines()[:_LINES])
            link = linked(look.allure, seen.environment, test.node)
            yield Blocking(test.node, seen.environment, f"{test.outcome}: {why}" if why else test.outcome, link=link)


def _left_out(name: str, seen: RunSeen) -> Iterator[tuple[str, str, str]]:
    if seen.verdict is None:
        return
    for test in seen.verdict.tests:
        if test.outcome in _NOT_TESTED:
            # The same reason in two environments is one: what is named there is told beside it.
            why = test.why.removeprefix(f"{name} ") if test.why.startswith(f"{name} does") else test.why
            rules = f" (rule {', '.join(test.rules)})" if test.outcome == "skipped" and test.rules else ""
            yield test.node, _NOT_TESTED[test.outcome], (why or "no reason was given") + rules
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
