"""The entries of the ledger: in-toto statements, with one typed predicate for each kind of evidence.

Format: in-toto Statement v1 (https://in-toto.io/Statement/v1). A run is a ``test-result/v0.1`` and a gate's decision an
SVR v0.2, both as in-toto's attestation repository defines them; in-toto has no predicate for a deployment, a sign-off,
a waiver or a rollback, so that these are types of our own. Fields that a foreign type does not have stand under a key
that is a URI, as its parsing rules ask for.
"""

from __future__ import annotations

import hashlib
from typing import ClassVar, Literal, TypeAlias

import msgspec

STATEMENT = "https://in-toto.io/Statement/v1"

RUN = "https://in-toto.io/attestation/test-result/v0.1"
GATE = "https://in-toto.io/attestation/svr/v0.2"
DEPLOYMENT = "urn:pytest-gaia:deployment/1"
SIGNOFF = "urn:pytest-gaia:signoff/1"
WAIVER = "urn:pytest-gaia:waiver/1"
ROLLBACK = "urn:pytest-gaia:rollback/1"
CHECK = "urn:pytest-gaia:check/1"

RUNS_WELL = frozenset({"deployed", "deployed_with_tool_error", "unchanged"})
"""outcomes of a deployment or rollback after which what was meant to run does"""
NO_RELEASE = "no bundle"
"""what a deployment outside of a promotion brings, and the target of a rollback to images that nobody has bundled"""

SHORT = 12
"""digits of a release's id that people are shown"""

Decision: TypeAlias = Literal["PROMOTE", "REJECT", "DRIFT", "HOLD", "INFRA"]
"""what a ledger can hold: a PARTIAL run is no evidence about a release, and is never written down"""
DeployOutcome: TypeAlias = Literal["deployed", "deployed_with_tool_error", "unchanged", "phantom", "failed", "split"]
OUTCOMES: dict[DeployOutcome, str] = {
    "deployed": "deployed",
    "deployed_with_tool_error": "deployed with a tool error",
    "unchanged": "unchanged",
    "phantom": "not rolled out",
    "failed": "failed",
    "split": "mixed versions",
}
"""stored outcome → text for people"""
CheckStatus: TypeAlias = Literal["proved", "failed", "inconclusive"]
SloStatus: TypeAlias = Literal["passed", "warned", "failed", "inconclusive"]


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of ``content``, as hex: what releases, entries and evidence name files by."""
    return hashlib.sha256(content).hexdigest()


_STORED = {"release": "bundle", "check": "item", "versions": "releases"}
"""field → the name that it has in signed entries, which never changes"""
_REASON = {**_STORED, "reason": "why"}
"""the same, for entries that store their reason as ``why``"""


class Subject(msgspec.Struct, frozen=True):
    """What a statement is about: the image of one service, by its digest alone."""

    name: str
    digest: dict[str, str]
    """algorithm → hex, such as ``{"sha256": "…"}``"""


class Resource(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file that a statement rests on (in-toto ResourceDescriptor)."""

    name: str
    digest: dict[str, str]


class Chain(msgspec.Struct, frozen=True):
    """The place of a statement in its ledger. It is signed with it, so that no entry can be moved, left out or replayed."""

    ledger: str
    """id of the ledger: random, from its first entry on"""
    sequence: int
    """from 1"""
    previous: str
    """SHA-256 (hex) of the envelope before this one, as its bytes are stored; empty for the first"""


class RunDetails(msgspec.Struct, frozen=True, kw_only=True, rename=_STORED):
    """What ``test-result/v0.1`` has no field for."""

    environment: str
    release: str
    verdict: Decision
    plan: str
    """SHA-256 of the sealed plan"""
    planned: int
    missing: tuple[str, ...] = ()
    """sealed tests of which the run has no pass and no excuse"""
    counts: dict[str, int] = {}
    flaky: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    """tests whose failure a rule excused"""
    suites: tuple[str, ...] = ()
    """suites of which at least one test ran"""
    core_failed: tuple[str, ...] = ()
    core_passed: int = 0
    experimental_run: int = 0
    """executed tests that are marked experimental"""
    slo: tuple[SloResult, ...] = ()
    baseline: str = ""
    """SHA-256 of the record that its times were compared with; empty where there was none"""
    slower: tuple[str, ...] = ()
    """routes that were slower than in that record, significantly and by much"""
    digests: dict[str, str] = {}
    """service → digest observed to run, at the end of the run; empty where nothing could be observed"""
    problem: str = ""
    """why the run counts as failed, whatever its tests came to: what it has left contradicts its record"""
    addresses: dict[str, tuple[str, ...]] = {}
    """member → host and port of every address at which it was tested; empty in entries that are older than this field"""
    hosts: tuple[str, ...] = ()
    """the hosts that the project's files named for the environment"""
    loopback: bool = False
    """whether ``loopback = true`` let the environment be tested on this machine, though it comes after another one"""
    misplaced: tuple[str, ...] = ()
    """why the addresses are not known as the environment's, one sentence each; the run is no evidence then"""
    drift: str = ""
    """how what ran differed from the release, or changed while the suites ran"""
    plugins: tuple[str, ...] = ()
    """pytest's plugins in the run: distribution and version; the module alone of one that no distribution has brought"""
    rehearsal: bool = False
    ci: str = ""
    """address of the CI run; empty outside of CI, and in older entries"""
    started: str
    finished: str
    fence: int = 0
    """fencing number of the lock under which it ran; 0: none was held"""


class SloResult(msgspec.Struct, frozen=True, kw_only=True, rename=_REASON):
    """One service level objective, measured."""

    route: str
    percentile: float
    samples: int
    measured_ms: float | None
    warn_ms: float | None
    fail_ms: float
    status: SloStatus
    reason: str = ""


class RunPredicate(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "passed": "passedTests",
        "warned": "warnedTests",
        "failed": "failedTests",
        "details": "urn:pytest-gaia:run/1",
    },
):
    """``test-result/v0.1``: PASSED if every sealed test passed, WARNED if some were excused or flaky, else FAILED."""

    word: ClassVar[str] = "run"

    result: Literal["PASSED", "WARNED", "FAILED"]
    configuration: tuple[Resource, ...]
    """gaia.toml, the sealed plan, the rules, the deploy files, the verdict file and the record"""
    passed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    details: RunDetails

    def digest_of(self, file: str) -> str:
        """Return the SHA-256 of ``file`` as the run has left it; empty where the run names none."""
        return {each.name: each.digest.get("sha256", "") for each in self.configuration}.get(file, "")

    @property
    def environment(self) -> str:
        """Where it ran."""
        return self.details.environment

    @property
    def release(self) -> str:
        """Whose run it was."""
        return self.details.release

    @property
    def fence(self) -> int:
        """Fencing number of the lock under which it ran."""
        return self.details.fence

    @property
    def time(self) -> str:
        """When it had ended."""
        return self.details.finished

    def __str__(self) -> str:
        says = self.details
        missing = f", {len(says.missing)} not passed" if says.missing else ""
        problem = f"; {says.problem}" if says.problem else ""
        return f"{says.environment} {says.release[:SHORT]}: {says.verdict}, {says.planned} sealed{missing}{problem}"


class DeploymentPredicate(msgspec.Struct, frozen=True, kw_only=True, rename=_STORED):
    """One deployment of a release to an environment, as it was observed."""

    word: ClassVar[str] = "deployment"

    environment: str
    release: str
    outcome: DeployOutcome
    reason: str = ""
    services: dict[str, str]
    """service → digest observed"""
    versions: dict[str, int] = {}
    time: str
    rehearsal: bool = False
    """whether it was part of a rollback drill"""
    fence: int = 0

    def __str__(self) -> str:
        if self.release == NO_RELEASE:
            return f"{self.environment} was {self.reason}: {self.outcome}"
        return f"{self.environment} {self.release[:SHORT]}: {self.outcome}"


class SignoffPredicate(msgspec.Struct, frozen=True, kw_only=True, rename=_REASON):
    """An approval of one check of one release by a person."""

    word: ClassVar[str] = "sign-off"

    environment: str
    release: str
    check: str
    """id of the item, such as ``security-review``; or ``release`` for the release as a whole"""
    role: str
    signer: str
    reason: str = ""
    evidence: tuple[str, ...] = ()
    """links, or digests of files"""
    time: str
    until: str
    """after this moment it is worth nothing (ISO 8601)"""

    def __str__(self) -> str:
        about = f"{self.environment} {self.release[:SHORT]}: {self.check}"
        return f"{about}, by {self.signer} ({self.role}) until {self.until[:10]}"


class WaiverPredicate(msgspec.Struct, frozen=True, kw_only=True, rename=_REASON):
    """A waiver of one check, with a reason and an expiry. Reports list waivers first."""

    word: ClassVar[str] = "waiver"

    environment: str
    release: str
    check: str
    role: str
    signer: str
    reason: str
    time: str
    until: str

    def __str__(self) -> str:
        about = f"{self.environment} {self.release[:SHORT]}: {self.check}"
        return f"{about} let go by {self.signer} ({self.role}): {self.reason}"


class GatePredicate(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """SVR v0.2: only what is proved is listed; what is missing is not proved."""

    word: ClassVar[str] = "gate"

    verifier: dict[str, object]
    """``id`` of what decided, and ``policies``: digests of the settings it decided by"""
    time_created: str
    properties: tuple[str, ...]
    """such as ``GAIA_STAGING_VALIDATED``"""
    decision: GateDetails = msgspec.field(name="urn:pytest-gaia:gate/1")

    @property
    def environment(self) -> str:
        """Whose gate it was."""
        return self.decision.environment

    @property
    def release(self) -> str:
        """What it decided about."""
        return self.decision.release

    @property
    def fence(self) -> int:
        """Fencing number of the lock under which it was decided."""
        return self.decision.fence

    @property
    def time(self) -> str:
        """When it was decided."""
        return self.time_created

    def __str__(self) -> str:
        return f"{self.environment} {self.release[:SHORT]}: {self.decision.verdict}"


class GateDetails(msgspec.Struct, frozen=True, kw_only=True, rename=_STORED):
    """The decision in words, and the evidence that it rests on."""

    environment: str
    release: str
    verdict: Decision
    reasons: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    """SHA-256 of each envelope that it rests on"""
    waived: tuple[str, ...] = ()
    fence: int = 0


class RollbackPredicate(msgspec.Struct, frozen=True, kw_only=True, rename=_REASON):
    """A rollback of an environment to an earlier release; the release that it left is blocked."""

    word: ClassVar[str] = "rollback"

    environment: str
    release: str
    """the one that was left"""
    target: str
    """the one that runs now"""
    reason: str
    outcome: DeployOutcome
    services: dict[str, str]
    time: str
    rehearsal: bool = False
    fence: int = 0
    gone: tuple[str, ...] = ()
    """services whose image of the target the registry no longer had"""

    def __str__(self) -> str:
        how = "rehearsed " if self.rehearsal else ""
        way = f"{self.release[:SHORT]} → {self.target[:SHORT]}"
        return f"{self.environment} {how}{way}: {self.outcome}; {self.reason}"


class CheckPredicate(msgspec.Struct, frozen=True, kw_only=True, rename=_REASON):
    """The result of a tool about one check of one release."""

    word: ClassVar[str] = "check"

    environment: str
    """the environment that the release is to go to"""
    release: str
    check: str
    status: CheckStatus
    reason: str
    findings: tuple[str, ...] = ()
    time: str

    def __str__(self) -> str:
        return f"{self.environment} {self.release[:SHORT]}: {self.check} {self.status}: {self.reason}"


Predicate: TypeAlias = (
    RunPredicate
    | DeploymentPredicate
    | SignoffPredicate
    | WaiverPredicate
    | GatePredicate
    | RollbackPredicate
    | CheckPredicate
)

PREDICATES: dict[str, type[Predicate]] = {
    RUN: RunPredicate,
    DEPLOYMENT: DeploymentPredicate,
    SIGNOFF: SignoffPredicate,
    WAIVER: WaiverPredicate,
    GATE: GatePredicate,
    ROLLBACK: RollbackPredicate,
    CHECK: CheckPredicate,
}
"""predicateType → the type that its predicate is read as"""
