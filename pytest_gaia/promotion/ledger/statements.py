"""The entries of the ledger: in-toto statements, with one typed predicate for each kind of evidence.

The format is in-toto Statement v1 (https://in-toto.io/Statement/v1). A run is a ``test-result/v0.1``, and a decision of
a gate is an SVR v0.2, as defined in the attestation repository of in-toto. in-toto has no predicates for deployments,
approvals, waivers and rollbacks, so this project defines its own. Additional fields of in-toto's types are below a key
that is a URI, as the parsing rules of in-toto require.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Final, Literal, TypeAlias

import msgspec

# At run time, because msgspec reads the annotations.
from pytest_gaia.expectations.apis import Api

STATEMENT: Final = "https://in-toto.io/Statement/v1"

RUN: Final = "https://in-toto.io/attestation/test-result/v0.1"
GATE = "https://in-toto.io/attestation/svr/v0.2"
DEPLOYMENT = "urn:pytest-gaia:deployment/1"
SIGNOFF = "urn:pytest-gaia:signoff/1"
WAIVER = "urn:pytest-gaia:waiver/1"
ROLLBACK = "urn:pytest-gaia:rollback/1"
CHECK = "urn:pytest-gaia:check/1"

RUNS_WELL = frozenset({"deployed", "deployed_with_tool_error", "unchanged"})
"""outcomes of a deployment or rollback after which the intended version runs"""
NO_RELEASE = "no bundle"  # stored value; glossary: ok
"""stored for a deployment outside of a promotion, and for a rollback to images that are in no release"""

SHORT = 12
"""digits of the ID of a release that are shown"""

Decision: TypeAlias = Literal["PROMOTE", "REJECT", "DRIFT", "HOLD", "INFRA"]
"""verdicts in a ledger; a PARTIAL run is no evidence about a release, and is never stored"""
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
    """Return the SHA-256 of ``content`` as hex. Releases, entries and evidence identify files by it."""
    return hashlib.sha256(content).hexdigest()


_STORED = {"release": "bundle", "check": "item", "versions": "releases"}
"""field → the name that it has in signed entries, which never changes"""
_REASON = {**_STORED, "reason": "why"}
"""the same, for entries that store their reason as ``why``"""


class Subject(msgspec.Struct, frozen=True):
    """The subject of a statement: the image of one service, identified by its digest."""

    name: str
    digest: dict[str, str]
    """algorithm → hex, such as ``{"sha256": "…"}``"""


class Resource(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file that a statement is based on (ResourceDescriptor of in-toto)."""

    name: str
    digest: dict[str, str]


class Chain(msgspec.Struct, frozen=True):
    """The signed position of a statement in its ledger, so that no entry can be moved, removed or repeated."""

    ledger: str
    """random ID of the ledger, chosen with the first entry"""
    sequence: int
    """from 1"""
    previous: str
    """SHA-256 (hex) of the stored bytes of the previous envelope; empty for the first entry"""


class RunDetails(msgspec.Struct, frozen=True, kw_only=True, rename=_STORED):
    """Details of a run that ``test-result/v0.1`` has no field for."""

    environment: str
    release: str
    verdict: Decision
    plan: str
    """SHA-256 of the test plan"""
    planned: int
    missing: tuple[str, ...] = ()
    """required tests that neither passed nor have an accepted outcome"""
    unexecuted: dict[str, str] = {}
    """other required tests that did not run: node ID → ``not applicable``, ``skipped`` or ``not offered``, for a test of an
    operation that the release lacks"""
    counts: dict[str, int] = {}
    flaky: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    """tests with an expected failure"""
    suites: tuple[str, ...] = ()
    """suites with at least one test that ran"""
    core_failed: tuple[str, ...] = ()
    core_passed: int = 0
    experimental_run: int = 0
    """number of executed tests that are marked experimental"""
    slo: tuple[SloResult, ...] = ()
    baseline: str = ""
    """SHA-256 of the results log that its times were compared with; empty if there was none"""
    slower: tuple[str, ...] = ()
    """routes that were clearly and significantly slower than in that results log"""
    digests: dict[str, str] = {}
    """service → digest that ran at the end of the run; empty if nothing could be observed"""
    problem: str = ""
    """why its tests do not decide: its files contradict its results log, or a shard is missing"""
    addresses: dict[str, tuple[str, ...]] = {}
    """service → host and port of every tested address; empty in entries older than this field"""
    hosts: tuple[str, ...] = ()
    """the hosts that the files of the project list for the environment"""
    loopback: bool = False
    """whether ``loopback = true`` allowed addresses on this machine, although the stage is not the first one"""
    misplaced: tuple[str, ...] = ()
    """reasons why the addresses do not belong to the environment, one sentence each; the run is no evidence then"""
    role: str | None = None
    """role of the environment; None in entries older than this field"""
    platform: str = ""
    """SHA-256 of the description of the services, ``sha256:…``; empty in entries older than this field"""
    described: dict[str, dict[str, str]] = {}
    """service of the run → key of its description → beginning of the SHA-256 of the value, without defaults"""
    services: tuple[str, ...] = ()
    """services that the environment has by the files of the project; variables can add others"""
    required: tuple[str, ...] = ()
    """those of ``services`` without which no test runs"""
    settings: dict[str, Any] = {}
    """resolved settings that decide what is tested with, without secrets; empty in entries older than this field"""
    drift: str = ""
    """how the running images differed from the release, or changed during the run"""
    plugins: tuple[str, ...] = ()
    """pytest plugins in the run: distribution and version, or the module of a plugin without a distribution"""
    rehearsal: bool = False
    ci: str = ""
    """URL of the CI run; empty outside of CI, and in older entries"""
    apis: dict[str, Api] = {}
    """service → the operations that the release offers; without services whose document is not known"""
    compared_with: str = ""
    """name of the earlier release whose operations these were compared with; empty if there was none"""
    unknown_apis: tuple[str, ...] = ()
    """services of that release whose operations are not known in this one"""
    removed: tuple[RemovedOperation, ...] = ()
    """operations of that release that this one lacks"""
    shards: tuple[ShardSeen, ...] = ()
    """the shards that were merged into this run; empty if it was not split"""
    started: str
    finished: str
    fence: int = 0
    """fencing token of the lock during the run; 0 without a lock"""


class ShardSeen(msgspec.Struct, frozen=True, omit_defaults=True):
    """One shard of a run."""

    shard: str
    """such as ``2/5``"""
    attempt: int
    record: str
    """SHA-256 of its results log"""
    signers: tuple[str, ...] = ()
    """names of the trusted keys that signed its statement"""
    ci: str = ""
    """URL of the CI run"""
    ci_attempt: str = ""


class RemovedOperation(msgspec.Struct, frozen=True, omit_defaults=True):
    """An operation that an earlier release has and the tested one lacks."""

    operation: str
    """such as ``orders: GET /orders``"""
    tests: int
    """tests that need it; 0 if only the documents show that it is gone"""
    expectation: str = ""
    """ID of the expectation that accepts it; empty if it blocks, or if no test needs it"""
    owner: str = ""
    """owner of the expectation"""
    expires: str = ""
    """last day of the expectation, ISO 8601"""

    @property
    def blocks(self) -> bool:
        """Whether it made the verdict REJECT."""
        return self.tests > 0 and not self.expectation


class SloResult(msgspec.Struct, frozen=True, kw_only=True, rename=_REASON):
    """The measurement of one service level objective."""

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
    """``test-result/v0.1``: PASSED, WARNED (all outcomes accepted, some expected failures or flaky tests) or FAILED."""

    word: ClassVar[str] = "run"

    result: Literal["PASSED", "WARNED", "FAILED"]
    configuration: tuple[Resource, ...]
    """gaia.toml, the test plan, the expectations, the deploy files, the verdict file and the results log"""
    passed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    details: RunDetails

    @property
    def executed(self) -> frozenset[str]:
        """Node IDs of the required tests that ran, whatever their outcome."""
        return frozenset((*self.passed, *self.warned, *self.failed)) - self.details.unexecuted.keys()

    def digest_of(self, file: str) -> str:
        """Return the SHA-256 of ``file`` at the end of the run; empty if the run does not list the file."""
        return {each.name: each.digest.get("sha256", "") for each in self.configuration}.get(file, "")

    @property
    def environment(self) -> str:
        """The environment of the run."""
        return self.details.environment

    @property
    def release(self) -> str:
        """The ID of the release that was tested."""
        return self.details.release

    @property
    def fence(self) -> int:
        """Fencing token of the lock during the run."""
        return self.details.fence

    @property
    def time(self) -> str:
        """The end of the run."""
        return self.details.finished

    def __str__(self) -> str:
        run = self.details
        missing = f", {len(run.missing)} not passed" if run.missing else ""
        problem = f"; {run.problem}" if run.problem else ""
        tests = f"{run.planned} required {'test' if run.planned == 1 else 'tests'}"
        return f"{run.environment} {run.release[:SHORT]}: {run.verdict}, {tests}{missing}{problem}"


class DeploymentPredicate(msgspec.Struct, frozen=True, kw_only=True, rename=_STORED):
    """One observed deployment of a release to an environment."""

    word: ClassVar[str] = "deployment"

    environment: str
    release: str
    outcome: DeployOutcome
    reason: str = ""
    services: dict[str, str]
    """service → observed digest"""
    versions: dict[str, int] = {}
    time: str
    rehearsal: bool = False
    """whether the deployment was part of a rollback drill"""
    fence: int = 0

    def __str__(self) -> str:
        if self.release == NO_RELEASE:
            return f"{self.environment} was {self.reason}: {OUTCOMES[self.outcome]}"
        return f"{self.environment} {self.release[:SHORT]}: {OUTCOMES[self.outcome]}"


class SignoffPredicate(msgspec.Struct, frozen=True, kw_only=True, rename=_REASON):
    """An approval of one check of one release by a person."""

    word: ClassVar[str] = "sign-off"

    environment: str
    release: str
    check: str
    """ID of the check, such as ``security-review``; or ``release`` for the release as a whole"""
    role: str
    signer: str
    reason: str = ""
    evidence: tuple[str, ...] = ()
    """URLs or digests of files"""
    time: str
    until: str
    """expiry time (ISO 8601)"""

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
        return f"{about} waived by {self.signer} ({self.role}): {self.reason}"


class GatePredicate(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """SVR v0.2: a list of proved properties. A property that is not listed is not proved."""

    word: ClassVar[str] = "gate"

    verifier: dict[str, object]
    """``id`` of the tool that decided, and ``policies``: digests of its settings"""
    time_created: str
    properties: tuple[str, ...]
    """for example ``GAIA_STAGING_VALIDATED``"""
    decision: GateDetails = msgspec.field(name="urn:pytest-gaia:gate/1")

    @property
    def environment(self) -> str:
        """The environment of the gate."""
        return self.decision.environment

    @property
    def release(self) -> str:
        """The ID of the release."""
        return self.decision.release

    @property
    def fence(self) -> int:
        """Fencing token of the lock during the decision."""
        return self.decision.fence

    @property
    def time(self) -> str:
        """The time of the decision."""
        return self.time_created

    def __str__(self) -> str:
        return f"{self.environment} {self.release[:SHORT]}: {self.decision.verdict}"


class GateDetails(msgspec.Struct, frozen=True, kw_only=True, rename=_STORED):
    """The decision with its reasons and its evidence."""

    environment: str
    release: str
    verdict: Decision
    reasons: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    """SHA-256 of each envelope that was used as evidence"""
    waived: tuple[str, ...] = ()
    fence: int = 0


class RollbackPredicate(msgspec.Struct, frozen=True, kw_only=True, rename=_REASON):
    """A rollback of an environment to an earlier release, which blocks the later one."""

    word: ClassVar[str] = "rollback"

    environment: str
    release: str
    """the blocked release"""
    target: str
    """the release that runs now"""
    reason: str
    outcome: DeployOutcome
    services: dict[str, str]
    time: str
    rehearsal: bool = False
    fence: int = 0
    gone: tuple[str, ...] = ()
    """services whose target image is missing from the registry"""

    def __str__(self) -> str:
        drill = "drill " if self.rehearsal else ""
        way = f"{self.release[:SHORT]} → {self.target[:SHORT]}"
        return f"{self.environment} {drill}{way}: {OUTCOMES[self.outcome]}; {self.reason}"


class CheckPredicate(msgspec.Struct, frozen=True, kw_only=True, rename=_REASON):
    """The result of a tool for one check of one release."""

    word: ClassVar[str] = "check"

    environment: str
    """the target environment of the release"""
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
"""predicateType → type of the predicate"""
