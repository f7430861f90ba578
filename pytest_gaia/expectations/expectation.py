"""One expectation: the expected outcome of tests, with environments, reason and expiry date."""

from datetime import date
from typing import Literal

import msgspec

from pytest_gaia.expectations.apis import NamedOperation
from pytest_gaia.expectations.selectors import Match, Selector, mismatch
from pytest_gaia.expectations.subjects import PHASES, Context, FailureDetails

Expect = Literal["fail", "flaky", "pass", "skip", "removed"]
"""``fail``: every time; ``flaky``: sometimes; ``pass``: an exception to a broader expectation; ``skip``; ``removed``:
operations that the release no longer offers"""


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
