"""What the sign-off page says, as plain frozen values: every rendering shows the same facts.

Nothing is decided here. The answer is that of the target's gate; whatever evidence is missing is said in words.
"""

from dataclasses import dataclass
from typing import Literal

from pytest_gaia.report.layout import remaining

_DAY = len("2026-11-23")

SHOWN_TESTS = 30
"""tests of one known failure that are named; the rest are counted"""
SHOWN_UNTESTED = 3
"""of one group of tests that were not tested"""
SHOWN_RUNS = 8
"""of one environment; older ones are in the ledger"""
SHOWN_BLOCKING = 100
"""lines of what stands in the way"""

Answer = Literal["GO", "GO WITH WAIVERS", "NO GO"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of what identifies the release."""

    label: str
    value: str
    code: bool = False
    """whether it is a hash or a name of machines"""


@dataclass(frozen=True, slots=True)
class Proof:
    """An entry of the ledger that something rests on."""

    number: int
    sha256: str
    what: str
    when: str
    signed_by: str


@dataclass(frozen=True, slots=True)
class Criterion:
    """One item of a gate, as the gate has found it."""

    id: str
    title: str
    when: Literal["before it is deployed", "after it is deployed"]
    status: str
    good: bool
    why: str
    next: str
    proofs: tuple[Proof, ...] = ()


@dataclass(frozen=True, slots=True)
class ChecklistRow:
    """One item of the pipeline's checklist, and who answers for it."""

    edge: str
    """the way that it guards, such as ``dev → staging``"""
    title: str
    status: str
    good: bool
    why: str
    who: str
    """who signed or waived it; for what is proved, whose key testifies the evidence"""
    when: str
    until: str
    """empty: as long as its evidence is fresh"""


@dataclass(frozen=True, slots=True)
class Waiver:
    """An item that somebody has let go."""

    item: str
    environment: str
    owner: str
    """who asked for it and answers for it"""
    approver: str
    """whose trusted key signed it, with the role"""
    why: str
    given: str
    until: str
    age_days: int
    standing: str
    """``in force``, or why it counts for nothing"""
    in_force: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the planned tests, in absolute numbers. All but ``planned`` and ``ran`` add up to ``planned``."""

    planned: int
    ran: int
    passed: int
    expected: int
    """failed, and a rule or the environment's tolerance excused it"""
    failed: int
    """failed, and nothing excused it"""
    unexpected_passes: int
    not_applicable: int
    blocked: int
    """could not be loaded"""
    not_run: int
    """planned, and skipped, cut off, deselected, or never heard of"""


@dataclass(frozen=True, slots=True)
class EnvironmentSeen:
    """One environment of the way, and what is known of the release there."""

    name: str
    run: str
    """the verdict of its newest run that counts; empty where there is none"""
    gate: str
    """the newest decision of its gate; empty where there is none"""
    when: str
    counts: Counts | None
    runs_now: str
    """which bundle runs there, as the ledger has seen it last"""
    notes: tuple[str, ...] = ()
    """what speaks against the numbers: no evidence, flaky tests, drift"""
    link: str = ""
    """the run in Allure, where that is known"""


@dataclass(frozen=True, slots=True)
class Image:
    """The image of one service, and what was seen to run instead or not."""

    service: str
    digest: str
    seen: tuple[tuple[str, str, bool], ...]
    """(environment, what was seen, whether that is this image), in the order of the way"""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs from the release that was signed off before."""

    what: str
    old: str
    new: str
    code: bool = False


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed since the last sign-off."""

    since: str
    """which release that was; empty where there was none"""
    rows: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """One cause that is known, and that a rule excuses; or failures that only the environment's tolerance lets through."""

    expectation: str
    """id of the rule; empty for failures that no rule is about"""
    why: str
    issue: str
    issue_link: str
    owner: str
    expires: str
    days_left: int | None
    """on the day of the page; None where nothing ends it"""
    environments: tuple[tuple[str, int], ...]
    """(environment, tests)"""
    tests: tuple[str, ...]

    @property
    def expired(self) -> bool:
        """Whether it excuses nothing any more."""
        return self.days_left is not None and self.days_left <= 0

    @property
    def left(self) -> str:
        """How much longer it excuses anything, in words."""
        return "" if self.days_left is None else remaining(self.days_left)


@dataclass(frozen=True, slots=True)
class IdleExpectation:
    """A rule in force that decided no test of any run on the page."""

    expectation: str
    owner: str
    issue: str
    expires: str
    days_left: int
    why: tuple[str, ...]
    """one sentence an environment"""

    @property
    def left(self) -> str:
        """How much longer it is in force, in words."""
        return remaining(self.days_left)


@dataclass(frozen=True, slots=True)
class Blocking:
    """Something that stands in the way: an item of the gate, or a test that gates."""

    what: str
    where: str
    """the environment"""
    why: str
    next: str = ""
    link: str = ""
    """the test in Allure"""


@dataclass(frozen=True, slots=True)
class Untested:
    """Tests that have shown nothing, for one reason, in one or several environments."""

    suite: str
    outcome: str
    why: str
    environments: tuple[str, ...]
    tests: tuple[str, ...]
    count: int
    """how many tests; more than ``tests`` where their names are not known"""
    nowhere: bool
    """whether no other environment of the page has run them either, as far as is known"""


@dataclass(frozen=True, slots=True)
class Objective:
    """One service level objective, as it was measured in one environment."""

    environment: str
    route: str
    percentile: float
    samples: int
    measured_ms: float | None
    warn_ms: float | None
    fail_ms: float
    status: str
    why: str
    median_ms: float | None = None
    """from the record of the run, where that is at hand"""
    slowest_ms: float | None = None


@dataclass(frozen=True, slots=True)
class RunPoint:
    """One run of the ledger, of this release or an earlier one."""

    environment: str
    when: str
    release: str
    this: bool
    """whether it is a run of this release"""
    verdict: str
    passed: int
    accepted: int
    failed: int
    other: int
    """not applicable, blocked or not run"""


@dataclass(frozen=True, slots=True)
class ExpectationAge:
    """How old a rule is, and how long it still holds."""

    expectation: str
    age_days: int
    days_left: int
    used: bool
    """whether it excused a failure on this page"""

    @property
    def left(self) -> str:
        """How much longer it holds, in words."""
        return remaining(self.days_left)


@dataclass(frozen=True, slots=True)
class SignOffPage:
    """Everything on the page."""

    answer: Answer
    verdict: str
    """the gate's own word"""
    question: str
    target: str
    release: str
    """the bundle, as people are shown it"""
    reasons: tuple[str, ...]
    as_of: str
    version: str
    head: str
    """SHA-256 of the ledger's newest entry"""
    facts: tuple[Fact, ...]
    waivers: tuple[Waiver, ...]
    environments: tuple[EnvironmentSeen, ...]
    images: tuple[Image, ...]
    criteria: tuple[Criterion, ...]
    checklist: tuple[ChecklistRow, ...]
    known: tuple[KnownFailure, ...]
    idle: tuple[IdleExpectation, ...]
    blocking: tuple[Blocking, ...]
    untested: tuple[Untested, ...]
    changes: Changes
    objectives: tuple[Objective, ...]
    history: tuple[RunPoint, ...]
    ages: tuple[ExpectationAge, ...]
    verdicts_known: bool
    """whether the verdict file of any run is at hand, without which nothing is known of single tests and rules"""
    gaps: tuple[str, ...] = ()
    """evidence that is missing or cannot be trusted, one sentence each"""

    @property
    def title(self) -> str:
        """The name of the document."""
        return f"{self.answer}: {self.release} to {self.target}"

    @property
    def glance(self) -> tuple[tuple[str, str], ...]:
        """The numbers that stand below the answer: label and value."""
        seen = [each.counts for each in self.environments if each.counts]
        accepted = {test for each in self.known for test in each.tests}
        nowhere = sum(each.count for each in self.untested if each.nowhere)
        return (
            ("items of the gate hold", f"{sum(each.good for each in self.criteria)} of {len(self.criteria)}"),
            ("waivers in force", str(sum(each.in_force for each in self.waivers))),
            ("tests known to fail", str(len(accepted)) if self.verdicts_known else "not known"),
            (
                "unexpected results",
                str(sum(each.failed + each.unexpected_passes for each in seen)) if seen else "not known",
            ),
            ("tests that ran nowhere", str(nowhere) if self.verdicts_known else "not known"),
            ("what was accepted holds until", self.first_end or "no end"),
        )

    @property
    def first_end(self) -> str:
        """The day on which the first thing ends that somebody has accepted; empty where nothing was accepted."""
        ends = [each.until[:_DAY] for each in self.waivers if each.in_force]
        ends += [each.until[:_DAY] for each in self.checklist if each.good and each.until]
        ends += [each.expires for each in self.known if each.expires]
        return min(ends, default="")
