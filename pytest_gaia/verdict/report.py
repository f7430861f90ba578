"""The verdict file: one JSON document that says what a run came to and why. Versioned, with a published schema."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import msgspec

from pytest_gaia.files.writing import PRIVATE, write_file
from pytest_gaia.policy.rules import SAID, Rule

# At run time, because msgspec reads the annotations.
from pytest_gaia.verdict.evidence import DeploymentSeen, MemberSeen
from pytest_gaia.verdict.judged import Judged

FORMAT: Literal["gaia-verdict/1"] = "gaia-verdict/1"


class RuleUse(msgspec.Struct, frozen=True):
    """One rule, and what it did in this run."""

    id: str
    why: str
    issue: str
    owner: str
    expires: str
    days_left: int
    """0 or less: it has expired and excuses nothing"""
    applies: str
    """empty, or why the rule does not apply to this run"""
    excused: int
    """tests whose failure it excused"""


class JudgedTest(msgspec.Struct, frozen=True):
    """One test, and the rules that decided what it came to."""

    node: str
    outcome: str
    gates: bool
    why: str
    rules: tuple[str, ...]
    losers: tuple[tuple[str, str], ...]
    """rules that cover the test and did not decide it, each with the reason"""


class VerdictFile(msgspec.Struct, frozen=True):
    """The document that ``--gaia-report`` writes."""

    format: Literal["gaia-verdict/1"]
    verdict: Literal["PROMOTE", "PARTIAL", "REJECT", "DRIFT", "HOLD", "INFRA"]
    exit_code: int
    reasons: tuple[str, ...]
    environment: str
    rehearsal: bool
    topology: str
    release: str
    capabilities: tuple[str, ...]
    members: tuple[MemberSeen, ...]
    """what each member was seen to be before the first test"""
    deployment: DeploymentSeen | None
    """what was deployed, and what this run has done to it; null for an environment without a deployment"""
    changed: tuple[str, ...]
    """what was another at the end than before the first test"""
    tolerance: Literal["open", "listed", "zero"]
    judged_as_of: str
    """the day whose rules were in force, ISO 8601"""
    started: str
    finished: str
    counts: dict[str, int]
    excused: int
    budget: int | None
    gating_in_production: int
    plan: str
    """SHA-256 of the sealed plan; empty where none was sealed"""
    bundle: str
    """id of the bundle that was tested, where it was said"""
    policy: str
    """SHA-256 of the rules that were in force"""
    rules: tuple[RuleUse, ...]
    tests: tuple[JudgedTest, ...]
    addresses: dict[str, tuple[str, ...]] = {}
    """member → host and port of every address at which it was tested, without credentials"""
    plugins: tuple[str, ...] = ()
    """pytest's plugins: distribution and version; the module alone of one that no distribution has brought"""
    loopback: bool = False
    """whether ``loopback = true`` lets the environment be tested on this machine, though it comes after another one"""
    unknown: tuple[str, ...] = ()
    """members of the platform of which nothing shows whether they answer"""
    partial: tuple[str, ...] = ()
    """what was left out of the run, one sentence each; empty for a full run"""


def verdict_file(judged: Judged) -> VerdictFile:
    """Return the document for one judged run."""
    context = judged.context
    return VerdictFile(
        format=FORMAT,
        verdict=judged.verdict.word,
        exit_code=judged.verdict.exit_code,
        reasons=judged.verdict.reasons,
        environment=context.environment,
        rehearsal=judged.start.rehearsal,
        topology=judged.start.topology,
        release=judged.start.release,
        capabilities=tuple(sorted(context.capabilities)),
        unknown=tuple(sorted(context.unknown)),
        members=judged.start.members,
        deployment=judged.start.deployment,
        changed=judged.end.changed if judged.end else (),
        tolerance=context.tolerance.kind,
        judged_as_of=context.today.isoformat(),
        started=judged.start.started,
        finished=judged.end.finished if judged.end else "",
        counts=dict(sorted(judged.counts.items())),
        excused=judged.excused,
        budget=context.tolerance.budget,
        gating_in_production=judged.gating_in_production,
        plan=judged.end.plan if judged.end else "",
        bundle=judged.end.bundle if judged.end else "",
        policy=policy_digest(judged.rules),
        rules=tuple(_use(rule, judged) for rule in judged.rules),
        tests=tuple(
            JudgedTest(each.node, each.outcome, each.gates, each.why, each.rules, each.losers)
            for each in judged.judgements
        ),
        addresses=dict(judged.addresses),
        plugins=judged.start.plugins,
        loopback=judged.start.loopback,
        partial=judged.partial,
    )


def write_report(path: Path, judged: Judged) -> bytes:
    """Write the document to ``path``, whole or not at all, and return it. Raises ``OSError``."""
    document = msgspec.json.format(msgspec.json.encode(verdict_file(judged)), indent=2) + b"\n"
    write_file(path, document, mode=PRIVATE)
    return document


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the document."""
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(VerdictFile)))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:pytest-gaia:{FORMAT}",
        **fields,
    }


def policy_digest(rules: tuple[Rule, ...]) -> str:
    """Return the SHA-256 of all rules, whatever the order and the spelling of their files."""
    plain = [{name: getattr(rule, name) for name in SAID} for rule in rules]
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()


def _use(rule: Rule, judged: Judged) -> RuleUse:
    return RuleUse(
        id=rule.id,
        why=rule.why,
        issue=rule.issue,
        owner=rule.owner,
        expires=rule.expires.isoformat(),
        days_left=rule.days_left(judged.context.today),
        applies=rule.inapplicable(judged.context) or "",
        excused=judged.using(rule),
    )
