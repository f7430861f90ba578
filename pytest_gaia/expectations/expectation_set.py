"""All expectations of a project, and which of them apply to a test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import msgspec

from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.expectations.selectors import Rank, keys_of, parse
from pytest_gaia.expectations.subjects import Context, Subject

Overridden = tuple["Expectation", str]
"""an expectation that covers a test but does not apply, and the reason"""


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
    return parse(key).rank


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
