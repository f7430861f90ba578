"""The facts on the release report as frozen values. All renderings show the same facts.

Nothing is decided here: the promotion gate of the target decides. Missing evidence is described in words.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

_DAY = len("2026-11-23")

SHOWN_TESTS = 10
"""named tests of one known failure; the others are counted"""
SHOWN_UNTESTED = 3
"""named tests of one group of untested tests"""
SHOWN_RUNS = 8
"""runs of one environment; older ones are in the ledger"""
SHOWN_BLOCKING = 100
"""rows in the table of blockers"""
SHOWN_COMMITS = 50
"""commits since the previous release that are listed"""

SignOffDecision = Literal["GO", "GO WITH WAIVERS", "NO GO"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One line that identifies the release."""

    label: str
    value: str
    code: bool = False
    """whether the value is a hash or an identifier"""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """A ledger entry that a check rests on."""

    number: int
    sha256: str
    what: str
    when: str
    signed_by: str


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One check of the promotion gate and its result."""

    id: str
    title: str
    when: Literal["before deployment", "after deployment"]
    status: str
    good: bool
    reason: str
    next: str
    proofs: tuple[Proof, ...] = ()


@dataclass(frozen=True, slots=True)
class Approval:
    """One release check on the way to the target, and the person or key behind it."""

    edge: str
    """the transition, such as ``dev → staging``"""
    title: str
    status: str
    good: bool
    reason: str
    who: str
    """who approved or waived it; for automatic checks, the key that signed the evidence"""
    when: str
    until: str
    """empty: as long as the evidence is fresh"""


@dataclass(frozen=True, slots=True)
class Waiver:
    """A waived check."""

    check: str
    environment: str
    owner: str
    """who asked for the waiver"""
    approver: str
    """the trusted key that signed it, and its role"""
    reason: str
    given: str
    until: str
    age_days: int
    state: str
    """``in force``, or why the waiver has no effect"""
    in_force: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Outcomes of the planned tests. All fields except ``planned`` and ``ran`` add up to ``planned``."""

    planned: int
    ran: int
    passed: int
    expected: int
    """failures that an expectation or the tolerance covers"""
    failed: int
    """failures that nothing covers"""
    unexpected_passes: int
    offline: int
    """tests that passed and talk to no service"""
    not_applicable: int
    blocked: int
    """tests that could not be loaded"""
    not_run: int
    """planned tests without a result: skipped, deselected, interrupted or missing"""


@dataclass(frozen=True, slots=True)
class EnvironmentResult:
    """One environment on the way to the target, and the release's results there."""

    name: str
    run: str
    """verdict of the newest valid run; empty without one"""
    gate: str
    """newest decision of the gate; empty without one"""
    when: str
    counts: Counts | None
    runs_now: str
    """the release that runs there, as last recorded in the ledger"""
    notes: tuple[str, ...] = ()
    """limits of the numbers: missing evidence, flaky tests, changes during the run"""
    link: str = ""
    """the Allure report of the run"""
    url: str = ""
    """address of the environment itself"""
    ci: str = ""
    """the CI run that tested the release there"""


@dataclass(frozen=True, slots=True)
class Image:
    """The image of one service, and the image observed in each environment."""

    service: str
    digest: str
    seen: tuple[tuple[str, str, bool], ...]
    """(environment, observed image, whether it is this one), in the order of the stages"""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference from the previous release."""

    what: str
    old: str
    new: str
    code: bool = False


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit since the previous release."""

    id: str
    title: str
    author: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """Differences from the release that the target approved before."""

    since: str
    """the previous release; empty without one"""
    rows: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    commits: tuple[Commit, ...] = ()
    """the newest first, at most :data:`SHOWN_COMMITS`"""
    commit_count: int = 0
    compare: str = ""
    """address of the comparison of both commits"""


@dataclass(frozen=True, slots=True)
class WayBack:
    """The release that a rollback of the target restores."""

    release: str
    """empty if there is none; ``note`` gives the reason"""
    seen: str = ""
    """when it last passed in the target"""
    images: tuple[tuple[str, str], ...] = ()
    """(service, digest)"""
    drill: str = ""
    """result of the newest rollback drill"""
    command: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """A line to sign on, for one role."""

    role: str
    who: str = ""
    """who approved in this role already, according to the ledger"""
    when: str = ""


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """Failures with one known cause: those of one expectation, or those that only the tolerance allows."""

    expectation: str
    """its id; empty for failures that no expectation covers"""
    reason: str
    issue: str
    issue_link: str
    owner: str
    expires: str
    days_left: int | None
    """on the day of the page; None without an end"""
    environments: tuple[tuple[str, int], ...]
    """(environment, number of tests)"""
    tests: tuple[str, ...]

    @property
    def expired(self) -> bool:
        """Whether the expectation is no longer in force."""
        return self.days_left is not None and self.days_left <= 0


@dataclass(frozen=True, slots=True)
class UnusedExpectation:
    """An expectation that decided no test in any run on the page."""

    expectation: str
    owner: str
    issue: str
    expires: str
    days_left: int
    reasons: tuple[str, ...]
    """why it was not used, one sentence per environment"""


@dataclass(frozen=True, slots=True)
class RemovedOperation:
    """An operation that the release no longer offers."""

    operation: str
    environments: tuple[str, ...]
    """where an earlier release offered it"""
    expectation: str
    """ID of the expectation that accepts it; empty without one"""
    owner: str
    until: str
    """last day of the expectation"""
    blocks: bool
    """whether a test needs it, and nothing accepts that it is gone"""


@dataclass(frozen=True, slots=True)
class Blocking:
    """A blocker: a check of the gate, or a test."""

    what: str
    where: str
    """the environment"""
    reason: str
    next: str = ""
    link: str = ""
    """the test in Allure"""


@dataclass(frozen=True, slots=True)
class Untested:
    """Planned tests that did not run, for one reason."""

    suite: str
    outcome: str
    reason: str
    environments: tuple[str, ...]
    tests: tuple[str, ...]
    count: int
    """number of tests; larger than ``len(tests)`` if their names are unknown"""
    nowhere: bool
    """whether they ran in no other environment of the page either"""


@dataclass(frozen=True, slots=True)
class Objective:
    """A service level objective, as measured in one environment."""

    environment: str
    route: str
    percentile: float
    samples: int
    measured_ms: float | None
    warn_ms: float | None
    fail_ms: float
    status: str
    reason: str
    median_ms: float | None = None
    """from the results log of the run, if it is available"""
    slowest_ms: float | None = None


@dataclass(frozen=True, slots=True)
class RunPoint:
    """One run in the ledger, of this release or an earlier one."""

    environment: str
    when: str
    release: str
    this: bool
    """whether it is a run of this release"""
    verdict: str
    passed: int
    expected: int
    failed: int
    other: int
    """not applicable, blocked or not run"""


@dataclass(frozen=True, slots=True)
class ReleasePoint:
    """One release in the ledger: how long it took to reach the target, and its newest run there or on the way."""

    release: str
    this: bool
    deployed: str
    """when it was first deployed anywhere"""
    arrived: str
    """when it was first deployed to the target; empty if it never was"""
    took: str
    """the time between the two, in words"""
    environment: str
    """where its newest run took place"""
    verdict: str
    ran: int
    passed: int
    expected: int
    failed: int
    flaky: int
    seconds: int
    """duration of that run"""


@dataclass(frozen=True, slots=True)
class SignOffPage:
    """Everything on the page."""

    decision: SignOffDecision
    verdict: str
    """the decision of the gate"""
    question: str
    target: str
    release: str
    """the release, as shown to people"""
    reasons: tuple[str, ...]
    as_of: str
    version: str
    head: str
    """SHA-256 of the newest ledger entry"""
    facts: tuple[Fact, ...]
    waivers: tuple[Waiver, ...]
    environments: tuple[EnvironmentResult, ...]
    images: tuple[Image, ...]
    checks: tuple[GateCheck, ...]
    approvals: tuple[Approval, ...]
    known: tuple[KnownFailure, ...]
    unused: tuple[UnusedExpectation, ...]
    blocking: tuple[Blocking, ...]
    untested: tuple[Untested, ...]
    changes: Changes
    objectives: tuple[Objective, ...]
    history: tuple[RunPoint, ...]
    releases: tuple[ReleasePoint, ...]
    way_back: WayBack
    signatures: tuple[Signature, ...]
    verdicts_known: bool
    """whether the verdict file of any run is available; without one, single tests and expectations are unknown"""
    ran: int = 0
    """tests that ran in at least one environment"""
    planned: int = 0
    """tests that were planned in at least one environment"""
    removed: tuple[RemovedOperation, ...] = ()
    compared: tuple[str, ...] = ()
    """what the API of the release was compared with, one sentence for each environment where its run recorded that"""
    gaps: tuple[str, ...] = ()
    """missing or invalid evidence, one sentence each"""

    @property
    def title(self) -> str:
        """The title of the document."""
        return f"{self.decision}: {self.release} to {self.target}"

    @property
    def numbers(self) -> tuple[tuple[str, str, bool], ...]:
        """The numbers below the decision: label, value, and whether the value needs attention."""
        seen = [each.counts for each in self.environments if each.counts]
        unexpected = sum(each.failed + each.unexpected_passes for each in seen)
        passed, waived = sum(each.good for each in self.checks), sum(each.in_force for each in self.waivers)
        known, nowhere = len({test for each in self.known for test in each.tests}), self.untested_anywhere
        unknown = not self.verdicts_known
        return (
            ("Checks passed", f"{passed} of {len(self.checks)}", passed < len(self.checks)),
            ("Waivers in force", str(waived), waived > 0),
            ("Known failures", "not known" if unknown else str(known), unknown or known > 0),
            ("Unexpected results", str(unexpected) if seen else "not known", not seen or unexpected > 0),
            ("Not tested anywhere", "not known" if unknown else str(nowhere), unknown or nowhere > 0),
            ("Approvals valid until", self.approvals_end or "–", False),
            ("Known failures accepted until", self.failures_end or "–", False),
        )

    @property
    def image_pairs(self) -> tuple[tuple[str, str], ...]:
        """(service, digest) of every image of the release."""
        return tuple((each.service, each.digest) for each in self.images)

    @property
    def untested_anywhere(self) -> int:
        """The number of tests that ran in no environment of the page."""
        return sum(each.count for each in self.untested if each.nowhere)

    @property
    def untested_suites(self) -> tuple[tuple[str, int], ...]:
        """Suites with tests that ran in no environment, and their number; the largest number first."""
        found: dict[str, int] = {}
        for each in self.untested:
            if each.nowhere and each.count:
                found[each.suite] = found.get(each.suite, 0) + each.count
        return tuple(sorted(found.items(), key=lambda each: (-each[1], each[0])))

    @property
    def approvals_end(self) -> str:
        """The first day on which an approval or waiver ends; empty without any."""
        return min(self._ends(), default="")

    @property
    def failures_end(self) -> str:
        """The first day on which a known failure is no longer accepted; empty if none ends."""
        return min((each.expires for each in self.known if each.expires), default="")

    def _ends(self) -> Iterator[str]:
        yield from (each.until[:_DAY] for each in self.waivers if each.in_force)
        yield from (each.until[:_DAY] for each in self.approvals if each.good and each.until)
