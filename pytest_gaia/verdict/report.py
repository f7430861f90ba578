"""The verdict file: one JSON document with the verdict and its reasons, in a versioned format."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import msgspec

from pytest_gaia.config.tolerance import ToleranceKind
from pytest_gaia.expectations.apis import Api, Baseline
from pytest_gaia.expectations.expectation import MEANING, Expectation
from pytest_gaia.files.writing import PRIVATE, write_file
from pytest_gaia.verdict.classify import GoneOperation
from pytest_gaia.verdict.evaluated import EvaluatedRun

# At run time, because msgspec reads the annotations.
from pytest_gaia.verdict.evidence import DeploymentSeen, PlatformSeen, ServiceHealth

_KIND_IN_FILE: dict[ToleranceKind, Literal["open", "listed", "zero"]] = {
    "advisory": "open",
    "known-failures": "listed",
    "strict": "zero",
}
# Ledgers contain digests that were computed with these names.
_KEYS_IN_DIGEST = {"reason": "why", "created": "added", "max_failures": "max_tests", "justification": "widened"}
_EXPECT_IN_DIGEST = {"fail": "fails", "pass": "passes", "skip": "skips"}

FORMAT: Literal["gaia-verdict/1"] = "gaia-verdict/1"


class ExpectationUse(msgspec.Struct, frozen=True):
    """One expectation, and its use in the run."""

    id: str
    reason: str = msgspec.field(name="why")
    issue: str
    owner: str
    expires: str
    days_left: int
    """0 or less if it has expired"""
    applies: str
    """why it does not apply to the run; empty if it applies"""
    accepted: int = msgspec.field(name="excused")
    """number of tests whose failure it covers"""


class ClassifiedTest(msgspec.Struct, frozen=True):
    """One test, its outcome, and the expectations that decided it."""

    node: str
    outcome: str
    blocks: bool = msgspec.field(name="gates")
    reason: str = msgspec.field(name="why")
    expectations: tuple[str, ...] = msgspec.field(name="rules")
    overridden: tuple[tuple[str, str], ...] = msgspec.field(name="losers")
    """expectations that cover the test but did not decide the outcome, each with the reason"""
    operations: tuple[str, ...] = ()
    """operations that the test needs and the release does not offer"""


class VerdictFile(msgspec.Struct, frozen=True):
    """The document that ``--gaia-verdict-file`` writes."""

    format: Literal["gaia-verdict/1"]
    verdict: Literal["PROMOTE", "PARTIAL", "REJECT", "DRIFT", "HOLD", "INFRA"]
    exit_code: int
    reasons: tuple[str, ...]
    environment: str
    simulated: bool = msgspec.field(name="rehearsal")  # glossary: ok
    topology: str
    deployed_version: str = msgspec.field(name="release")
    capabilities: tuple[str, ...]
    services: tuple[ServiceHealth, ...] = msgspec.field(name="members")
    """state of each service before the first test"""
    deployment: DeploymentSeen | None
    """deployment of the environment; null without a deployment"""
    changed: tuple[str, ...]
    """differences between the first test and the end"""
    tolerance: Literal["open", "listed", "zero"]
    evaluated_as_of: str = msgspec.field(name="judged_as_of")
    """date of the evaluation, ISO 8601"""
    started: str
    finished: str
    counts: dict[str, int]
    accepted: int = msgspec.field(name="excused")
    budget: int | None
    blocking_in_production: int = msgspec.field(name="gating_in_production")
    plan: str
    """SHA-256 of the test plan; empty without a plan"""
    release: str = msgspec.field(name="bundle")
    """ID of the tested release, if it was given"""
    expectations_digest: str = msgspec.field(name="policy")
    """SHA-256 of the expectations"""
    expectations: tuple[ExpectationUse, ...] = msgspec.field(name="rules")
    tests: tuple[ClassifiedTest, ...]
    addresses: dict[str, tuple[str, ...]] = {}
    """addresses (host and port, no credentials) at which each service was tested"""
    plugins: tuple[str, ...] = ()
    """plugins of pytest: distribution and version, or the module if it belongs to no distribution"""
    loopback: bool = False
    """whether ``loopback = true`` allows tests of the environment on this machine"""
    unknown: tuple[str, ...] = ()
    """services whose state is unknown"""
    partial: tuple[str, ...] = ()
    """what was not selected, one sentence each; empty for a full run"""
    platform: PlatformSeen | None = None
    """description of the services; null in older files"""
    kinds: dict[str, str] = msgspec.field(name="services", default={})
    """service → its kind; empty in older files"""
    apis: dict[str, Api] = {}
    """service → the operations that this release offers"""
    baseline: Baseline | None = None
    """operations of the last accepted release; null if there is none"""
    gone: tuple[GoneOperation, ...] = ()
    """operations that are gone since the baseline"""
    concurrency: int = 1
    """limit of concurrent tests in each process"""
    shuffle_seed: int | None = None
    """seed of the random order of the tests; null without `--gaia-shuffle`"""


def verdict_file(evaluated: EvaluatedRun) -> VerdictFile:
    """Return the document for an evaluated run."""
    context = evaluated.context
    return VerdictFile(
        format=FORMAT,
        verdict=evaluated.verdict.word,
        exit_code=evaluated.verdict.exit_code,
        reasons=evaluated.verdict.reasons,
        environment=context.environment,
        simulated=evaluated.start.simulated,
        topology=evaluated.start.topology,
        deployed_version=evaluated.start.deployed_version,
        capabilities=tuple(sorted(context.capabilities)),
        unknown=tuple(sorted(context.unknown)),
        services=evaluated.start.services,
        deployment=evaluated.start.deployment,
        changed=evaluated.end.changed if evaluated.end else (),
        tolerance=_KIND_IN_FILE[context.tolerance.kind],
        evaluated_as_of=context.today.isoformat(),
        started=evaluated.start.started,
        finished=evaluated.end.finished if evaluated.end else "",
        counts=dict(sorted(evaluated.counts.items())),
        accepted=evaluated.accepted,
        budget=context.tolerance.budget,
        blocking_in_production=evaluated.blocking_in_production,
        plan=evaluated.end.plan if evaluated.end else "",
        release=evaluated.end.release if evaluated.end else "",
        expectations_digest=expectations_digest(evaluated.expectations),
        expectations=tuple(_use(expectation, evaluated) for expectation in evaluated.expectations),
        tests=tuple(
            ClassifiedTest(
                each.node, each.outcome, each.blocks, each.reason, each.expectations, each.overridden, each.operations
            )
            for each in evaluated.classifications
        ),
        addresses=dict(evaluated.addresses),
        plugins=evaluated.start.plugins,
        loopback=evaluated.start.loopback,
        partial=evaluated.partial,
        platform=evaluated.start.platform,
        kinds=evaluated.start.kinds,
        apis=evaluated.start.apis,
        baseline=evaluated.start.baseline,
        gone=evaluated.gone,
        concurrency=evaluated.start.concurrency,
        shuffle_seed=evaluated.start.shuffle_seed,
    )


def write_report(path: Path, evaluated: EvaluatedRun) -> bytes:
    """Write the document to ``path`` atomically, and return it. Raises ``OSError``."""
    content = document(evaluated)
    write_file(path, content, mode=PRIVATE)
    return content


def document(evaluated: EvaluatedRun) -> bytes:
    """Return the content of the verdict file for an evaluated run."""
    return msgspec.json.format(msgspec.json.encode(verdict_file(evaluated)), indent=2) + b"\n"


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the document."""
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(VerdictFile)))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:pytest-gaia:{FORMAT}",
        **fields,
    }


def expectations_digest(expectations: tuple[Expectation, ...]) -> str:
    """Return the SHA-256 of all expectations, independent of the order and format of their files."""
    plain = [_in_digest(each) for each in expectations]
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()


def _in_digest(expectation: Expectation) -> dict[str, Any]:
    values = {_KEYS_IN_DIGEST.get(name, name): getattr(expectation, name) for name in MEANING}
    # Empty in all expectations of older ledgers.
    for name in ("offers", "operations"):
        if not values[name]:
            del values[name]
    return {**values, "expect": _EXPECT_IN_DIGEST.get(expectation.expect, expectation.expect)}


def _use(expectation: Expectation, evaluated: EvaluatedRun) -> ExpectationUse:
    return ExpectationUse(
        id=expectation.id,
        reason=expectation.reason,
        issue=expectation.issue,
        owner=expectation.owner,
        expires=expectation.expires.isoformat(),
        days_left=expectation.days_left(evaluated.context.today),
        applies=expectation.inapplicable(evaluated.context) or "",
        accepted=evaluated.using(expectation),
    )
