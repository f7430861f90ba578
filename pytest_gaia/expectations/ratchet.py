"""Whether a rule excuses more than it did. Rules may get narrower in silence, wider only by saying why."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.expectations.lint import Finding
from pytest_gaia.expectations.selectors import KEYS, Selector, folded, keys_of
from pytest_gaia.expectations.subjects import Subject


def ratchet(
    before: Mapping[str, Expectation],
    after: Mapping[str, Expectation],
    unreadable: Mapping[str, str] = MappingProxyType({}),
) -> list[Finding]:
    """Return every widening of a rule that does not say why. A new rule is not one: it says why in ``why``.

    ``unreadable`` are the rules of before that cannot be compared: id → why not.
    """
    found: list[Finding] = []
    for name, new in sorted(after.items()):
        old = before.get(name)
        if new.justification is not None and (old is None or new.justification != old.justification):
            continue
        texts = widenings(old, new) if old else []
        if name in unreadable:
            texts = [f"cannot be compared: {unreadable[name]}"]
        found += [Finding("error", "widened", name, new.place, text) for text in texts]
    for name, old in sorted(before.items()):
        if name not in after and old.expect == "passes":
            text = "is gone: what it kept from being excused may be excused now"
            found.append(Finding("error", "carve-out", name, old.place, text))
    return found


def widenings(old: Expectation, new: Expectation) -> list[str]:
    """Return in which ways ``new`` excuses what ``old`` did not; empty if it excuses the same or less."""
    if old.expect != new.expect and "passes" in (old.expect, new.expect):
        return [f"expect was {old.expect} and is {new.expect}"] if old.expect == "passes" else []
    if new.expect == "passes":
        # A carve-out is the other way round: the less it covers, the more is excused.
        return [f"{text}; it is a carve-out" for text in _scope(new, old, "gone from it")]
    return [*_scope(old, new, "new in it"), *_signature(old, new)]


def _scope(old: Expectation, new: Expectation, how: str) -> Iterator[str]:
    """Yield where and when ``new`` applies and ``old`` did not."""
    for selector in new.selectors:
        if not any(_within(selector, known) for known in old.selectors):
            yield f"tests: {selector.text} is {how}"
    for name in new.environments:
        if name not in old.environments:
            yield f"environments: {name} is {how}"
    if new.expires > old.expires:
        yield f"expires: {new.expires} is later than {old.expires}"
    for capability, wanted in old.when:
        if (capability, wanted) not in new.when:
            yield f"when: {'' if wanted else '!'}{capability} is asked for no more"


def _signature(old: Expectation, new: Expectation) -> Iterator[str]:
    """Yield which failures ``new`` excuses and ``old`` did not."""
    if old.expect != new.expect and old.expect != "flaky":
        yield f"expect: was {old.expect} and is {new.expect}"
    for phase in sorted(new.phases - old.phases):
        yield f"phase: {phase} is new in it"
    if old.max_tests is not None and (new.max_tests is None or new.max_tests > old.max_tests):
        yield f"max_tests: was {old.max_tests} and is {new.max_tests or 'not set'}"
    for key in KEYS:
        yield from _field(key, getattr(old.match, key), getattr(new.match, key))


def _field(key: str, old: tuple[object, ...], new: tuple[object, ...]) -> Iterator[str]:
    if old and not new:
        yield f"match.{key} is gone"
    for value in new if old else ():
        if value not in old and not (key == "message" and _longer(str(value), old)):
            yield f"match.{key}: {value} is new in it"


def _longer(piece: str, known: tuple[object, ...]) -> bool:
    """Whether a message that holds ``piece`` holds one of the ``known`` pieces too."""
    return any(folded(str(each)) in folded(piece) for each in known)


def _within(selector: Selector, other: Selector) -> bool:
    """Whether every test that ``selector`` covers is covered by ``other``."""
    if selector.kind in ("all", "service", "marker"):
        return other.text in (selector.text, "all")
    return other.text in keys_of(Subject(selector.text))
