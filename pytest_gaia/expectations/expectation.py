"""Expectations: the expected outcome of tests, with environments, reason and expiry date, and which apply to a test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Literal

import msgspec

from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.apis import NamedOperation
from pytest_gaia.expectations.subjects import (
    PHASES,
    Context,
    FailureDetails,
    Match,
    Rank,
    Selector,
    Subject,
    keys_of,
    mismatch,
    parse_selector,
)

Expect = Literal["fail", "flaky", "pass", "skip", "removed"]
"""``fail``: every time; ``flaky``: sometimes; ``pass``: an exception to a broader expectation; ``skip``; ``removed``:
operations that the release no longer offers"""

Overridden = tuple["Expectation", str]
"""an expectation that covers a test but does not apply, and the reason"""


# gc=False: expectations contain no reference cycles, and the collector need not scan a thousand of them.
class Expectation(msgspec.Struct, frozen=True, gc=False, eq=False):
    """One file of ``expectations/``, decoded and checked. Two with the same meaning are equal, whatever their path."""

    id: str
    """name of the file, without ``.toml``"""
    reason: str
    issue: str
    owner: str
    created: date
    expires: date
    """first day on which the expectation no longer applies"""
    environments: tuple[str, ...]
    selectors: tuple[Selector, ...]
    expect: Expect = "fail"
    phases: frozenset[str] = frozenset({"call"})
    when: tuple[tuple[str, bool], ...] = ()
    """(capability, whether it must have been observed)"""
    offers: tuple[tuple[NamedOperation, bool], ...] = ()
    """(operation, whether the release must offer it)"""
    operations: tuple[NamedOperation, ...] = ()
    """for ``removed``: patterns of the operations that may be gone"""
    match: Match = Match()
    max_failures: int | None = None
    """most tests, or removed operations, that it may cover in one run"""
    justification: str | None = None
    """why it covers more than before; ``gaia expectations ratchet`` requires it"""
    place: str = ""
    """path of the file, relative to the root of the project"""
    max_failures_line: int = 0
    """line of the file on which ``max_failures`` is set; 0 if it is not set"""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expectation) and all(getattr(self, name) == getattr(other, name) for name in MEANING)

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def conditions(self) -> int:
        """Number of conditions besides the selector. Of two equally specific expectations, the one with more applies."""
        return len(self.when) + len(self.offers) + len(self.match.keys)

    @property
    def circumstances(self) -> dict[str, bool]:
        """What the run must observe, and whether it must hold: services by name, operations by their meaning."""
        return {**dict(self.when), **{operation.meaning: wanted for operation, wanted in self.offers}}

    def days_left(self, today: date) -> int:
        """Return the number of days, including ``today``, on which it still applies; 0 or less if it has expired."""
        return (self.expires - today).days

    def inapplicable(self, context: Context) -> str | None:
        """Return the reason why the expectation does not apply in ``context``; None if it applies."""
        return self.excluded(context) or self._unmet(context)

    def excluded(self, context: Context) -> str | None:
        """Return why it does not apply, whatever the run observes: the environment or the day; None if it can apply."""
        if context.tolerance.kind == "strict" and self.expect != "removed":
            return f"{context.environment} has strict tolerance"
        if context.environment not in self.environments:
            return f"applies to {', '.join(self.environments)} only"
        if self.days_left(context.today) <= 0:
            return f"expired on {self.expires}"
        return None

    def _unmet(self, context: Context) -> str | None:
        for capability, wanted in self.when:
            if not context.knows(capability):
                # With an unknown capability, only an expectation that makes the outcome stricter applies.
                if self.expect == "pass":
                    continue
                needed = capability if wanted else f"!{capability}"
                return f"requires {needed}, and it is unknown whether {capability} is reachable"
            if (capability in context.capabilities) != wanted:
                seen, needed = ("was not observed", capability) if wanted else ("was observed", f"!{capability}")
                return f"requires {needed}, and {capability} {seen}"
        return next((reason for each in self.offers if (reason := self._not_offered(*each, context))), None)

    def _not_offered(self, operation: NamedOperation, wanted: bool, context: Context) -> str:
        offered = context.apis.offers(operation)
        if offered is wanted or (offered is None and self.expect == "pass"):
            return ""
        needed = f"requires that the release {'offers' if wanted else 'does not offer'} {operation}"
        return f"{needed}, and the OpenAPI document of {operation.service} is not known" if offered is None else needed

    def covers(self, operation: str) -> bool:
        """Whether it accepts that ``operation`` is gone, such as ``orders: GET /orders``."""
        return self.expect == "removed" and any(each.covers(operation) for each in self.operations)

    def refusal(self, details: FailureDetails) -> tuple[str, ...]:
        """Return why the expectation does not cover the failure ``details``; empty if it covers it."""
        if self.expect not in ("fail", "flaky"):
            return (f"expects {self.expect}, not a failure",)
        phase = (
            () if details.phase in self.phases else (f"phase {details.phase}, expected {'|'.join(self.phase_names)}",)
        )
        return phase + mismatch(self.match, details)

    @property
    def phase_names(self) -> tuple[str, ...]:
        """The phases in the order in which they happen."""
        return tuple(phase for phase in PHASES if phase in self.phases)


MEANING = tuple(name for name in Expectation.__struct_fields__ if name not in ("place", "max_failures_line"))
"""fields that define the meaning of an expectation"""


class ExpectationSet:
    """The expectations of a project. Their order has no meaning."""

    def __init__(self, expectations: Iterable[Expectation] = ()) -> None:
        self.expectations: tuple[Expectation, ...] = tuple(sorted(expectations, key=lambda expectation: expectation.id))
        self._by_key = _index(self.expectations)
        self._views: dict[Context, _View] = {}
        self._latest: _View | None = None

    def resolution(self, subject: Subject, context: Context) -> Resolution:
        """Return which expectations apply to ``subject``. Tests that the same expectations cover share one result."""
        return self.under(context)(subject)

    def under(self, context: Context) -> Callable[[Subject], Resolution]:
        """Return :meth:`standing` under one context, for many tests."""
        view = self._latest
        # A run resolves ten thousand tests in one context, and to compare contexts takes longer than to resolve.
        if view is None or view.context is not context:
            view = self._views.get(context)
            if view is None:
                view = self._views[context] = _View(self._by_key, context)
            self._latest = view
        return view.resolution

    def check_conflicts(self, subjects: Iterable[Subject], context: Context) -> None:
        """Raise ``ConfigError`` if equally specific expectations conflict for one of ``subjects``."""
        for subject in subjects:
            conflicting = self.resolution(subject, context).conflicting
            if conflicting:
                claims = ", ".join(
                    f"{expectation.id} expects {expectation.expect} ({expectation.place})"
                    for expectation in conflicting
                )
                raise ConfigError(
                    f"{subject.node}: equally specific expectations conflict in {context.environment}: {claims}. "
                    "Make the selector of one more specific, or add a condition."
                )


class Resolution(msgspec.Struct, gc=False):
    """Expectations that apply to one test in one context, and those that do not."""

    keys: tuple[str, ...]
    """selectors that cover the test and occur in expectations, the most specific first"""
    effective: tuple[Expectation, ...]
    """expectations that apply: equally specific, with the same expected outcome"""
    conflicting: tuple[Expectation, ...]
    """equally specific expectations that conflict; then none is effective"""
    by_key: Mapping[str, tuple[Expectation, ...]]
    """expectations by selector"""
    context: Context
    expect: str | None = None
    """expected outcome; None if no expectation applies"""
    effective_ids: tuple[str, ...] = ()
    """IDs of the effective expectations"""
    _overridden_ids: tuple[tuple[str, str], ...] | None = None

    def __post_init__(self) -> None:
        if self.effective:
            self.expect = self.effective[0].expect
            self.effective_ids = tuple([expectation.id for expectation in self.effective])

    @property
    def overridden(self) -> tuple[Overridden, ...]:
        """Every other expectation that covers the test, with the reason why it does not apply, in the order of IDs."""
        covering = self.covering
        others = (covering[each] for each in sorted(covering) if covering[each] not in self.effective)
        return tuple((expectation, self._reason_not(expectation)) for expectation in others)

    @property
    def overridden_ids(self) -> tuple[tuple[str, str], ...]:
        """The overridden expectations by ID."""
        if self._overridden_ids is None:
            self._overridden_ids = (
                tuple((expectation.id, reason) for expectation, reason in self.overridden)
                if self._has_overridden()
                else ()
            )
        return self._overridden_ids

    def _has_overridden(self) -> bool:
        return sum([len(self.by_key[key]) for key in self.keys]) != len(self.effective)

    @property
    def covering(self) -> dict[str, Expectation]:
        """Every expectation that covers the test, by ID."""
        return {expectation.id: expectation for key in self.keys for expectation in self.by_key[key]}

    def _reason_not(self, expectation: Expectation) -> str:
        inapplicable = expectation.inapplicable(self.context)
        if inapplicable:
            return inapplicable
        if expectation in self.conflicting:
            return f"equally specific expectations conflict: {', '.join(each.id for each in self.conflicting if each != expectation)}"
        best = (self.effective or self.conflicting)[0]
        if self._rank(best) > self._rank(expectation):
            return f"{best.id} takes precedence: it is more specific"
        return f"{best.id} takes precedence: it has more conditions"

    def _rank(self, expectation: Expectation) -> Rank:
        return max(selector.rank for selector in expectation.selectors if selector.text in self.keys)


class _View:
    """The expectations in one context. Those that do not apply are excluded once, not once per test."""

    def __init__(self, by_key: Mapping[str, tuple[Expectation, ...]], context: Context) -> None:
        self.by_key = by_key
        self.context = context
        self._best = {
            key: _most_conditions(
                [expectation for expectation in expectations if expectation.inapplicable(context) is None]
            )
            for key, expectations in by_key.items()
        }
        self._known: dict[tuple[str, ...], Resolution] = {}
        # Tests that differ only in parameters differ in one selector. Each test is resolved several times.
        self._functions: dict[tuple[str, frozenset[str], frozenset[str]], Resolution] = {}

    def resolution(self, subject: Subject) -> Resolution:
        node = subject.node
        names = node.find("::")
        # The path before the names may contain brackets.
        bracket = node.find("[", names) if names >= 0 else -1
        about = (node if bracket < 0 else node[:bracket], subject.services, subject.markers)
        function = self._functions.get(about)
        if function is None:
            function = self._functions[about] = self._of(
                self._keys(Subject(about[0], subject.markers, subject.services))
            )
        return self._of((node, *function.keys)) if bracket >= 0 and node in self.by_key else function

    def _of(self, keys: tuple[str, ...]) -> Resolution:
        known = self._known.get(keys)
        if known is None:
            known = self._known[keys] = self._decide(keys)
        return known

    def _keys(self, subject: Subject) -> tuple[str, ...]:
        """Return the selectors that cover ``subject`` and occur in expectations."""
        return tuple(key for key in keys_of(subject) if key in self.by_key)

    def _decide(self, keys: tuple[str, ...]) -> Resolution:
        # Services and markers are equally specific, so their expectations compete.
        for _, equal in groupby(keys, key=_rank_of):
            best = _most_conditions([expectation for key in equal for expectation in self._best[key]])
            if best:
                agree = len({expectation.expect for expectation in best}) == 1
                return Resolution(keys, best if agree else (), () if agree else best, self.by_key, self.context)
        return Resolution(keys, (), (), self.by_key, self.context)


def _index(expectations: Iterable[Expectation]) -> Mapping[str, tuple[Expectation, ...]]:
    index: defaultdict[str, list[Expectation]] = defaultdict(list)
    for expectation in expectations:
        for selector in expectation.selectors:
            index[selector.text].append(expectation)
    return {key: tuple(about) for key, about in index.items()}


def _rank_of(key: str) -> Rank:
    return parse_selector(key).rank


def _most_conditions(expectations: Sequence[Expectation]) -> tuple[Expectation, ...]:
    """Return those of ``expectations`` that have the most conditions, each once."""
    if len(expectations) <= 1:
        return tuple(expectations)
    found = {expectation.id: expectation for expectation in expectations}
    most = max((expectation.conditions for expectation in found.values()), default=0)
    return tuple(found[each] for each in sorted(found) if found[each].conditions == most)


@dataclass(frozen=True, slots=True)
class Difference:
    """An expectation that applies to tests in one environment and not in another."""

    expectation: Expectation
    reason: str
    """why it does not apply there"""
    nodes: tuple[str, ...]


def differences(
    expectations: ExpectationSet, subjects: Iterable[Subject], here: Context, there: Context
) -> list[Difference]:
    """Return, by expectation, the tests whose failures (or skips) are expected ``here`` and not ``there``."""
    found: dict[tuple[str, str], tuple[Expectation, list[str]]] = {}
    for subject in subjects:
        away = expectations.resolution(subject, there)
        reasons = {expectation.id: reason for expectation, reason in away.overridden}
        for expectation in expectations.resolution(subject, here).effective:
            if expectation.expect == "pass" or expectation in away.effective:
                continue
            found.setdefault((expectation.id, reasons[expectation.id]), (expectation, []))[1].append(subject.node)
    return [
        Difference(expectation, reason, tuple(nodes))
        for (_, reason), (expectation, nodes) in sorted(found.items(), key=lambda it: it[0])
    ]
