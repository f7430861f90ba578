"""One rule: what is expected of which tests, where, until when, why, and who answers for it."""

from datetime import date
from typing import Literal

import msgspec

from pytest_gaia.expectations.selectors import Match, Selector, mismatch
from pytest_gaia.expectations.subjects import PHASES, Context, FailureDetails

Expect = Literal["fails", "flaky", "passes", "skips"]
"""``fails``: it fails, every time; ``flaky``: it may; ``passes``: a carve-out of a broader rule; ``skips``."""


# gc=False: rules refer to nothing that could refer back, and a thousand of them need not be looked through again and again.
class Expectation(msgspec.Struct, frozen=True, gc=False, eq=False):
    """One file of ``expectations/``, decoded and checked. Two that say the same are equal, wherever they stand."""

    id: str
    """name of the file, without ``.toml``"""
    reason: str
    issue: str
    owner: str
    added: date
    expires: date
    """the first day on which the rule excuses nothing any more"""
    environments: tuple[str, ...]
    selectors: tuple[Selector, ...]
    expect: Expect = "fails"
    phases: frozenset[str] = frozenset({"call"})
    when: tuple[tuple[str, bool], ...] = ()
    """(capability, whether it must have been observed)"""
    match: Match = Match()
    max_tests: int | None = None
    """the most tests that it may excuse in one run"""
    justification: str | None = None
    """why it covers more than it did; ``gaia policy ratchet`` asks for it"""
    place: str = ""
    """its file, relative to the root of the project"""
    max_tests_line: int = 0
    """the line of that file on which ``max_tests`` is set"""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expectation) and all(getattr(self, name) == getattr(other, name) for name in SAID)

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def conditions(self) -> int:
        """How many conditions it has beside its selector: of two equally specific rules, the one with more wins."""
        return len(self.when) + len(self.match.keys)

    def days_left(self, today: date) -> int:
        """Return on how many days, from ``today`` on, it still applies; 0 or less if it has expired."""
        return (self.expires - today).days

    def inapplicable(self, context: Context) -> str | None:
        """Return why the rule does not apply under ``context``, or None where it does."""
        if context.tolerance.kind == "zero":
            return f"{context.environment} excuses nothing"
        if context.environment not in self.environments:
            return f"environment {context.environment} is not among {', '.join(self.environments)}"
        if self.days_left(context.today) <= 0:
            return f"expired {self.expires}"
        for capability, wanted in self.when:
            if capability in context.unknown:
                # What is not known excuses nothing: such a rule applies only where it makes the judgement stricter.
                if self.expect == "passes":
                    continue
                needed = capability if wanted else f"!{capability}"
                return f"whether {capability} answers is not known, rule needs {needed}"
            if (capability in context.capabilities) != wanted:
                seen, needed = ("was not observed", capability) if wanted else ("was observed", f"!{capability}")
                return f"capability {capability} {seen}, rule needs {needed}"
        return None

    def refusal(self, details: FailureDetails) -> tuple[str, ...]:
        """Return what keeps the rule from excusing ``symptom``; empty if it excuses it. Rules of ``passes`` never do."""
        if self.expect not in ("fails", "flaky"):
            return (f"it expects {self.expect}, not a failure",)
        phase = (
            () if details.phase in self.phases else (f"phase {details.phase}, expected {'|'.join(self.phase_names)}",)
        )
        return phase + mismatch(self.match, details)

    @property
    def phase_names(self) -> tuple[str, ...]:
        """The phases in the order in which they happen."""
        return tuple(phase for phase in PHASES if phase in self.phases)


SAID = tuple(name for name in Expectation.__struct_fields__ if name not in ("place", "max_tests_line"))
"""the fields of a rule that mean something"""
