"""The summary at the end of a run: expectations that were used, skipped tests with reasons, and the verdict."""

import sys
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_gaia.expectations.apis import removed_without_tests
from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.report.layout import NARROWEST, aligned, columns, listed, remaining, wrapped
from pytest_gaia.verdict.classify import Classification, Outcome, over_limits
from pytest_gaia.verdict.evaluated import EvaluatedRun, numbered
from pytest_gaia.wording import counted

_SOON = 7
"""days before an expectation expires from which every run prints a warning"""


_SHOWN: tuple[Outcome, ...] = (
    "passed",
    "passed offline",
    "without evidence",
    "expected failure",
    "tolerated",
    "unexpected pass",
    "not applicable",
    "skipped",
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How much the summary prints, and in how many columns."""

    width: int = NARROWEST
    expected: bool = False
    """whether to list each expected failure"""
    inapplicable: bool = False
    """whether to list each test that does not apply"""


PLAIN = Layout()
_ENDLESS = Layout(sys.maxsize)


def notes(evaluated: EvaluatedRun, layout: Layout = PLAIN) -> list[str]:
    """Return the basis of the verdict: expectations, warnings, tests that do not apply, and the view of production."""
    return [
        *_without_evidence(evaluated, layout),
        *_titled(f"expected failures{spent(evaluated)}", _expectations(evaluated, layout)),
        *_titled("non-blocking failures", _tests(evaluated, "tolerated", layout) if layout.expected else ()),
        *_titled("warnings", [line for text in warnings(evaluated) for line in _hung(text, layout)]),
        *_titled("not applicable", _reasons(evaluated, layout)),
        *not_offered(evaluated, layout),
        *_production(evaluated),
    ]


def blocking(evaluated: EvaluatedRun, shown: Container[str] = (), layout: Layout = PLAIN) -> list[str]:
    """Return each blocking test with its outcome and first reason, except those in ``shown``.

    Tests that did not send a request to the same service have one message.
    """
    blocks = (each for each in evaluated.unusual if each.blocks and not each.not_sent and each.node not in shown)
    failures = _titled("blocking failures", [line for each in blocks for line in _test(each, layout)])
    return [*failures, *not_sent(evaluated, layout)]


def not_sent(evaluated: EvaluatedRun, layout: Layout = _ENDLESS) -> list[str]:
    """Return one message for each service to which tests did not send requests, and with ``-v`` the tests."""
    tests: defaultdict[str, list[str]] = defaultdict(list)
    for each in evaluated.unusual:
        for reason in each.not_sent:
            tests[reason].append(each.node)
    lines: list[str] = []
    for reason, nodes in tests.items():
        service, _, problem = reason.partition(": ")
        text = f"gaia: {counted(len(nodes), 'test')} did not send a request to {service}, which {problem}"
        lines += wrapped(text, layout.width, hanging=2)
        lines += (f"    {node}" for node in nodes if layout.expected)
    return lines


@dataclass(frozen=True, slots=True)
class NotOffered:
    """Operations that this release does not offer and tests need, in one of four groups."""

    title: str
    """what that means, such as ``2 operations gone since release 3f9a1c in staging, blocking``"""
    tests: Mapping[str, Sequence[str]]
    """operation, such as ``orders: GET /orders`` → node IDs of the tests that need it; by service and path"""
    blocking: bool = False


def groups_not_offered(evaluated: EvaluatedRun) -> list[NotOffered]:
    """Return the operations that tests need and this release does not offer: gone (blocking first), and the others."""
    tests: defaultdict[str, list[str]] = defaultdict(list)
    for each in evaluated.unusual:
        for operation in each.operations:
            tests[operation].append(each.node)
    apis, gone = evaluated.context.apis, {each.operation: each.expectation for each in evaluated.gone}
    # Gone, and accepted by this expectation or by none (""); otherwise whether the baseline has it, or None if unknown.
    found: defaultdict[str | bool | None, dict[str, list[str]]] = defaultdict(dict)
    for operation in sorted(tests, key=_by_path):
        found[gone[operation] if operation in gone else apis.in_baseline(operation, evaluated.context.today)][
            operation
        ] = tests[operation]
    known = {each.id: each for each in evaluated.expectations}
    return [
        *(
            NotOffered(_gone_title(len(found[name]), evaluated, known.get(name)), found[name], blocking=not name)
            for name in sorted(set(gone.values()))
        ),
        *(NotOffered(title, found[there]) for title, there in _NOT_GONE if there in found),
    ]


def _by_path(operation: str) -> tuple[str, str, str]:
    service, _, rest = operation.partition(": ")
    method, _, path = rest.partition(" ")
    return service, path, method


def _gone_title(count: int, evaluated: EvaluatedRun, accepting: Expectation | None) -> str:
    baseline = evaluated.context.apis.baseline
    title = f"{counted(count, 'operation')} gone since {baseline.name if baseline else 'the baseline'}"
    if accepting is None:
        return f"{title}, blocking"
    left = remaining(accepting.days_left(evaluated.context.today))
    return f"{title}, accepted by {accepting.id} ({accepting.issue}, {accepting.owner}, {left})"


def not_offered(evaluated: EvaluatedRun, layout: Layout = PLAIN) -> list[str]:
    """Return the operations that this release does not offer and tests need, each once, and with ``-v`` the tests."""
    groups = groups_not_offered(evaluated)
    lines: list[str] = []
    for group in groups:
        operations = _operations(group.tests, layout)
        one = f"  {group.title}: {operations[0].strip()}"
        fits = len(operations) == 1 and columns(one) <= layout.width
        lines += [one] if fits else [*_hung(f"{group.title}:", layout), *operations]
        lines += _hung(_ACCEPT, layout) if group.blocking else []
    needed = [operation for group in groups for operation in group.tests]
    if groups and (untested := removed_without_tests(evaluated.context.apis, needed, evaluated.context.today)):
        more = "" if layout.inapplicable else f" (-v lists {'it' if len(untested) == 1 else 'them'})"
        lines += _hung(f"{counted(len(untested), 'more operation')} gone that no test of this run needs{more}", layout)
        lines += _operations(dict.fromkeys(untested, ()), layout) if layout.inapplicable else []
    count = sum(bool(each.operations) for each in evaluated.unusual)
    need = f"{counted(count, 'test')} need{'s' if count == 1 else ''} {counted(len(needed), 'operation')}"
    return _titled(f"not offered by this release: {need}", lines)


def in_one_line(evaluated: EvaluatedRun) -> list[str]:
    """Return requests that were not sent, and operations that are gone and block, each in one line, however long it is."""
    lines = (
        (group.title, _operations(group.tests, _ENDLESS)) for group in groups_not_offered(evaluated) if group.blocking
    )
    gone = [f"gaia: {title}: {'; '.join(map(str.strip, operations))}" for title, operations in lines]
    return [*not_sent(evaluated), *gone]


_NOT_GONE = (
    ("not in the baseline either", False),
    ("no baseline shows whether an earlier release offered them", None),
)
_ACCEPT = "To accept that, complete the draft of `gaia expectations suggest RESULTS`."


_NAMED = 20
"""most tests without evidence that are listed without ``-v``"""
_OFFLINE = "Mark a test that is meant to talk to no service: @pytest.mark.gaia(offline=True)."


def _operations(tests: Mapping[str, Sequence[str]], layout: Layout) -> list[str]:
    """Return the operations of each service, each on one line with its tests if there are any to list."""
    by_service: defaultdict[str, list[str]] = defaultdict(list)
    for each in tests:
        by_service[each.partition(": ")[0]].append(each)
    lines: list[str] = []
    for service, them in by_service.items():
        names = [each.removeprefix(f"{service}: ") for each in them]
        if not (layout.inapplicable and any(map(tests.get, them))):
            lines += listed(f"    {service}:", names, layout.width, hanging=6)
            continue
        lines.append(f"    {service}:")
        for each, name in zip(them, names, strict=True):
            lines += [f"      {name}", *(f"        {node}" for node in tests[each])]
    return lines


def verdict_line(label: str, evaluated: EvaluatedRun) -> str:
    """Return the verdict as one line; ``label`` is the display name of the environment."""
    return f"{_head(label, evaluated)} {', '.join(_parts(evaluated))}"


def verdict_lines(label: str, evaluated: EvaluatedRun, layout: Layout = PLAIN) -> list[str]:
    """Return the verdict in lines, broken between reasons where one line is too long."""
    return listed(_head(label, evaluated), _parts(evaluated), layout.width)


def quiet_lines(label: str, evaluated: EvaluatedRun) -> list[str]:
    """Return the verdict in one line, however long it is, below the seed of a random order, which no header shows."""
    seed = [f"gaia: {evaluated.start.order}"] if evaluated.start.shuffle_seed is not None else []
    return [*seed, verdict_line(label, evaluated)]


def warnings(evaluated: EvaluatedRun) -> Iterator[str]:
    """Yield a sentence for each expectation that expires soon, unexpected pass, flaky pass and other doubt about the run."""
    today, name = evaluated.context.today, evaluated.context.environment
    for expectation in (expectation for expectation in evaluated.expectations if name in expectation.environments):
        left = expectation.days_left(today)
        if left <= 0:
            yield f"expectation {expectation.id} expired on {expectation.expires} and has no effect; {_ask(expectation)}"
        elif left <= _SOON:
            yield f"expectation {expectation.id} expires in {counted(left, 'day')}; {_ask(expectation)}"
    if evaluated.partial:
        yield from over_limits(evaluated.classifications, evaluated.expectations)
    for each in evaluated.unusual:
        if each.outcome == "unexpected pass" or (each.outcome == "passed" and each.reason):
            yield f"{each.node}: {each.outcome}: {each.reason}"
    yield from _doubts(evaluated)


def _doubts(evaluated: EvaluatedRun) -> Iterator[str]:
    for each in evaluated.unusual:
        if each.unread:
            yield f"{each.node}: passed, but read nothing of the response to {'; '.join(each.unread)}"
    if evaluated.verdict.word != "HOLD":
        yield from evaluated.late
    yield from evaluated.end.network if evaluated.end else ()


def spent(evaluated: EvaluatedRun) -> str:
    """Return how much of the failure budget is used; nothing if none is used or none is set."""
    budget = evaluated.context.tolerance.budget
    return (
        f": {evaluated.accepted} of a failure budget of {budget}" if evaluated.accepted and budget is not None else ""
    )


def _head(label: str, evaluated: EvaluatedRun) -> str:
    return f"gaia verdict: {evaluated.verdict.word} on {label}:"


def _parts(evaluated: EvaluatedRun) -> list[str]:
    verdict = evaluated.verdict
    counts = [numbered(evaluated.counts[outcome], outcome) for outcome in _SHOWN if evaluated.counts[outcome]]
    reasons = verdict.reasons if verdict.word != "PROMOTE" else ()
    return [*reasons, *(count for count in counts if count not in reasons)] or ["no test ran"]


def _test(each: Classification, layout: Layout) -> list[str]:
    # A message may begin with an empty line, or hold a line end of another system.
    first = next(iter(each.reason.strip().splitlines()), "").rstrip()
    why = f"{each.outcome}: {first}".removesuffix(": ")
    line = f"  {each.node}: {why}"
    if columns(line) <= layout.width:
        return [line]
    # The node ID stays whole, however long, so that it can be copied.
    return [f"  {each.node}", *wrapped(why, layout.width, indent=4)]


def _expectations(evaluated: EvaluatedRun, layout: Layout) -> list[str]:
    used = [
        (expectation, evaluated.using(expectation))
        for expectation in evaluated.expectations
        if evaluated.using(expectation)
    ]
    today = evaluated.context.today
    names = [
        (
            f"  {count}",
            "×",
            expectation.id,
            expectation.issue,
            expectation.owner,
            remaining(expectation.days_left(today)),
        )
        for expectation, count in used
    ]
    lines = _beside(names, [expectation.reason for expectation, _ in used], layout.width)
    nodes = _by_expectation(evaluated) if layout.expected else {}
    return [
        line
        for (expectation, _), block in zip(used, lines, strict=True)
        for line in (*block, *(f"      {node}" for node in nodes.get(expectation.id, ())))
    ]


def _beside(names: Sequence[Sequence[str]], reasons: Sequence[str], width: int) -> list[list[str]]:
    """Return a table whose last column is ``reasons``; where it is too wide, each reason follows below its row."""
    whole = aligned([(*row, reason) for row, reason in zip(names, reasons, strict=True)])
    if all(columns(line) <= width for line in whole):
        return [[line] for line in whole]
    rows = aligned(names)
    if any(columns(row) > width for row in rows):
        rows = ["  ".join(row) for row in names]
    pairs = zip(rows, reasons, strict=True)
    return [[*_wrapped_row(row, width), *wrapped(reason, width, indent=6)] for row, reason in pairs]


def _wrapped_row(row: str, width: int) -> list[str]:
    """Return a row of a table, wrapped if it is too wide."""
    indent = len(row) - len(row.lstrip())
    return [row] if columns(row) <= width else wrapped(row.strip(), width, indent=indent, hanging=6)


def _by_expectation(evaluated: EvaluatedRun) -> dict[str, list[str]]:
    nodes: defaultdict[str, list[str]] = defaultdict(list)
    for each in evaluated.unusual:
        if each.outcome == "expected failure":
            for expectation in each.expectations:
                nodes[expectation].append(each.node)
    return nodes


def _tests(evaluated: EvaluatedRun, outcome: Outcome, layout: Layout) -> list[str]:
    those = (each for each in evaluated.unusual if each.outcome == outcome)
    return [line for each in those for line in _test(each, layout)]


def _ask(expectation: Expectation) -> str:
    return f"ask {expectation.owner} ({expectation.issue})"


def _reasons(evaluated: EvaluatedRun, layout: Layout) -> list[str]:
    nodes: defaultdict[str, list[str]] = defaultdict(list)
    for each in evaluated.unusual:
        if each.outcome == "not applicable" and not each.operations:
            nodes[each.reason].append(each.node)
    digits = len(str(max(map(len, nodes.values()), default=0)))
    lines: list[str] = []
    for reason, them in nodes.items():
        lines += wrapped(f"{len(them):>{digits}} × {reason}", layout.width, indent=2, hanging=5 + digits)
        if layout.inapplicable:
            lines += (f"      {node}" for node in them)
    return lines


def _without_evidence(evaluated: EvaluatedRun, layout: Layout) -> list[str]:
    """Return the tests that passed without evidence, at most ``_NAMED`` of them unless all are to be listed."""
    those = [each for each in evaluated.unusual if each.outcome == "without evidence"]
    named = those if layout.expected else those[:_NAMED]
    lines = [line for each in named for line in _test(each, layout)]
    if len(those) > len(named):
        lines.append(f"  and {len(those) - len(named)} more (-v lists them)")
    return _titled("passed without evidence", [*lines, *_hung(_OFFLINE, layout)] if those else [])


def _production(evaluated: EvaluatedRun) -> list[str]:
    if not evaluated.blocking_in_production or evaluated.context.tolerance.kind == "strict":
        return []
    return [f"gaia: {counted(evaluated.blocking_in_production, 'failure')} would block production"]


def _hung(text: str, layout: Layout) -> list[str]:
    return wrapped(text, layout.width, indent=2, hanging=4)


def _titled(title: str, lines: Iterable[str]) -> list[str]:
    lines = list(lines)
    return [f"gaia: {title}", *lines] if lines else []
