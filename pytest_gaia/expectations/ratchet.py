"""Find expectations that became broader without a justification."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from pytest_gaia.expectations.apis import NamedOperation
from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.expectations.lint import Finding
from pytest_gaia.expectations.subjects import KEYS, Selector, Subject, folded, keys_of


def ratchet(
    before: Mapping[str, Expectation],
    after: Mapping[str, Expectation],
    unreadable: Mapping[str, str] = MappingProxyType({}),
) -> list[Finding]:
    """Return every way in which an expectation became broader without a new ``justification``.

    New expectations are allowed: they have a reason. ``unreadable`` are earlier expectations that cannot be compared,
    by ID, each with the reason.
    """
    found: list[Finding] = []
    for name, new in sorted(after.items()):
        old = before.get(name)
        if new.justification is not None and (old is None or new.justification != old.justification):
            continue
        texts = widenings(old, new) if old else []
        if name in unreadable:
            texts = [f"cannot be compared: {unreadable[name]}"]
        found += [Finding("error", "broader", name, new.place, text) for text in texts]
    for name, old in sorted(before.items()):
        if name not in after and old.expect == "pass":
            text = "was removed, so broader expectations apply to its tests again"
            found.append(Finding("error", "removed-exception", name, old.place, text))
    return found


def widenings(old: Expectation, new: Expectation) -> list[str]:
    """Return the ways in which ``new`` covers more than ``old``; empty if there are none."""
    if old.expect != new.expect and not {"pass", "removed"}.isdisjoint((old.expect, new.expect)):
        return [f"expect: was {old.expect}, is {new.expect}"] if new.expect != "pass" else []
    if new.expect == "pass":
        # Of an exception the opposite holds: the less it covers, the more failures are expected.
        return [f"{text}; this is an exception (expect = 'pass')" for text in _scope(new, old, "removed")]
    return [*_scope(old, new, "new"), *_signature(old, new)]


def _scope(old: Expectation, new: Expectation, how: str) -> Iterator[str]:
    """Yield tests, operations, environments and conditions to which only ``new`` applies."""
    yield from _subjects(old, new, how)
    for name in new.environments:
        if name not in old.environments:
            yield f"environments: {name} is {how}"
    if new.expires > old.expires:
        yield f"expires: {new.expires} is later than {old.expires}"
    verb = "removed" if how == "new" else "added"
    conditions: tuple[tuple[str | NamedOperation, bool], ...] = (*old.when, *old.offers)
    for what, wanted in conditions:
        if new.circumstances.get(what if isinstance(what, str) else what.meaning) is not wanted:
            yield f"when: {'' if wanted else '!'}{what} was {verb}"


def _subjects(old: Expectation, new: Expectation, how: str) -> Iterator[str]:
    for selector in new.selectors:
        if not any(_within(selector, known) for known in old.selectors):
            yield f"tests: {selector.text} is {how}"
    for pattern in new.operations:
        if not any(known.covers(str(pattern)) for known in old.operations):
            yield f"operations: {pattern} is {how}"


def _signature(old: Expectation, new: Expectation) -> Iterator[str]:
    """Yield the failures that only ``new`` covers."""
    if old.expect != new.expect and old.expect != "flaky":
        yield f"expect: was {old.expect}, is {new.expect}"
    for phase in sorted(new.phases - old.phases):
        yield f"phase: {phase} is new"
    if old.max_failures is not None and (new.max_failures is None or new.max_failures > old.max_failures):
        yield f"max_failures: was {old.max_failures}, is {new.max_failures or 'not set'}"
    for key in KEYS:
        yield from _field(key, getattr(old.match, key), getattr(new.match, key))


def _field(key: str, old: tuple[object, ...], new: tuple[object, ...]) -> Iterator[str]:
    if old and not new:
        yield f"match.{key} was removed"
    for value in new if old else ():
        if value not in old and not (key == "message" and _longer(str(value), old)):
            yield f"match.{key}: {value} is new"


def _longer(piece: str, known: tuple[object, ...]) -> bool:
    """Return whether every message that contains ``piece`` also contains one of ``known``."""
    return any(folded(str(each)) in folded(piece) for each in known)


def _within(selector: Selector, other: Selector) -> bool:
    """Return whether ``other`` covers every test that ``selector`` covers."""
    if selector.kind in ("all", "service", "marker"):
        return other.text in (selector.text, "all")
    return other.text in keys_of(Subject(selector.text))
