"""A release on its way to production, with every piece of evidence that it needs: what an honest pipeline leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_gaia.config.stages import Stage
from pytest_gaia.promotion.gate.gate import Gate, evaluate
from pytest_gaia.promotion.gate.situation import Declared, Situation
from pytest_gaia.promotion.ledger.statements import (
    CHECK,
    DEPLOYMENT,
    GATE,
    ROLLBACK,
    RUN,
    SIGNOFF,
    WAIVER,
    CheckPredicate,
    DeploymentPredicate,
    Predicate,
    Resource,
    RollbackPredicate,
    RunDetails,
    RunPredicate,
    SignoffPredicate,
    SloResult,
    Subject,
    WaiverPredicate,
)
from pytest_gaia.promotion.release.kept import Component, Release
from tests.projects import gaia_platform

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.promotion.gate.check import Group
    from pytest_gaia.promotion.ledger.keys import SigningKey
    from tests.promotion.conftest import Keyring

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
SUITES = ("health", "providers", "messaging", "database")
STAGES = {
    "local": Stage(),
    "dev": Stage(previous="local"),
    "staging": Stage(previous="dev", soak=timedelta(hours=12), require_signed=True),
    "production": Stage(
        previous="staging", soak=timedelta(hours=24), sign=("release-manager",), suites=("health",), require_signed=True
    ),
}


def declared(environment: str, **given: Any) -> Declared:
    """Return what a project of the Gaia Platform declares about an environment."""
    role = environment if environment in STAGES else ""
    return Declared(**{"role": role, "platform": gaia_platform(), **given})


def made_release(seed: str = "a", **changes: Any) -> Release:
    """Return a release of two images."""
    images = {service: f"sha256:{service}{seed}" for service in ("auth", "gateway")}
    values: dict[str, Any] = {
        "created": START.isoformat(),
        "kind": "registry",
        "commit": f"c0ffee{seed}",
        "authors": ("dev@example.org",),
        "components": tuple(Component(name, f"registry/{name}@{digest}", digest) for name, digest in images.items()),
    }
    return Release(**values | changes)


@dataclass
class Pipeline:
    """Writes evidence as the pipeline does, one hour after the other."""

    keyring: Keyring
    folder: Path
    release: Release = field(default_factory=made_release)
    now: datetime = START
    keys: dict[str, SigningKey] = field(default_factory=dict)
    about: tuple[Subject, ...] | None = None
    """what statements are about, if not the release's images"""

    def __post_init__(self) -> None:
        if not self.keys:
            self.keys = {
                "ci": self.keyring.make("ci", "ci"),
                "rita": self.keyring.make("rita", "release-manager", identities=("rita@example.org",)),
                "sam": self.keyring.make("sam", "security", identities=("sam@example.org",)),
                "dev": self.keyring.make("dev", "release-manager", "security", identities=("DEV@example.org",)),
            }

    def wait(self, hours: float) -> None:
        """Let time pass."""
        self.now += timedelta(hours=hours)

    def write(self, kind: str, predicate: Predicate, by: str | None = "ci") -> None:
        """Append one statement, signed by one of the keys; None: without a signature, past the guard of the ledger."""
        self.wait(0.1)
        signers = [self.keys[by or "ci"]]
        about = self.release.subjects() if self.about is None else self.about
        self.keyring.ledger(self.folder).append(kind, about, predicate, signers=signers)
        if by is None:
            self.strip(len(self.keyring.ledger(self.folder).entries()))

    def strip(self, number: int) -> None:
        """Take the signatures of an entry off."""
        path = self.folder / f"{number:06}.json"
        path.write_text(json.dumps(json.loads(path.read_bytes()) | {"signatures": []}))

    def deploy(self, environment: str, by: str | None = "ci", **changes: Any) -> None:
        """It was deployed, and seen to run."""
        says = DeploymentPredicate(
            environment=environment,
            release=self.release.id,
            outcome="deployed",
            services=self.release.digests,
            time=self.now.isoformat(),
        )
        self.write(DEPLOYMENT, msgspec.structs.replace(says, **changes), by)

    def run(
        self,
        environment: str,
        by: str | None = "ci",
        result: Any = "PASSED",
        configuration: tuple[Resource, ...] = (),
        passed: tuple[str, ...] = (),
        warned: tuple[str, ...] = (),
        failed: tuple[str, ...] = (),
        **changes: Any,
    ) -> None:
        """Its suites ran; ``configuration`` are the files that it names, ``passed`` and the others its tests."""
        details = RunDetails(
            environment=environment,
            release=self.release.id,
            verdict="PROMOTE",
            plan="ab" * 32,
            planned=40,
            suites=SUITES,
            core_passed=12,
            slo=(SloResult(route="GET /health", percentile=95, samples=60, measured_ms=20, warn_ms=None, fail_ms=100, status="passed"),),
            digests=self.release.digests,
            started=self.now.isoformat(),
            finished=self.now.isoformat(),
        )  # fmt: skip
        details = msgspec.structs.replace(details, **changes)
        tests = {"passed": passed, "warned": warned, "failed": failed}
        self.write(RUN, RunPredicate(result=result, configuration=configuration, details=details, **tests), by)

    def decide(self, environment: str, only: Group | None = None) -> Gate:
        """Ask the gate."""
        entries = self.keyring.ledger(self.folder).entries()
        return evaluate(
            Situation(environment, declared(environment), STAGES[environment], self.release, entries, self.now),
            only=only,
        )

    def gate(self, environment: str, by: str | None = "ci", **changes: Any) -> None:
        """The gate decides, and its decision is kept."""
        says = self.decide(environment).predicate(self.now, {})
        decision = msgspec.structs.replace(says.decision, **changes)
        self.write(GATE, msgspec.structs.replace(says, decision=decision), by)

    def sign(self, check: str, environment: str, by: str | None, role: str, **changes: Any) -> None:
        """A person signs."""
        says = SignoffPredicate(
            environment=environment,
            release=self.release.id,
            check=check,
            role=role,
            signer=by or "somebody",
            time=self.now.isoformat(),
            until=(self.now + timedelta(days=7)).isoformat(),
        )
        self.write(SIGNOFF, msgspec.structs.replace(says, **changes), by)

    def waive(self, check: str, environment: str, by: str | None, role: str, **changes: Any) -> None:
        """A person lets an item go."""
        says = WaiverPredicate(
            environment=environment,
            release=self.release.id,
            check=check,
            role=role,
            signer=by or "somebody",
            reason="the partner needs it today",
            time=self.now.isoformat(),
            until=(self.now + timedelta(days=2)).isoformat(),
        )
        self.write(WAIVER, msgspec.structs.replace(says, **changes), by)

    def check(self, check: str, environment: str, by: str | None = "ci", **changes: Any) -> None:
        """A tool has looked."""
        says = CheckPredicate(
            environment=environment,
            release=self.release.id,
            check=check,
            status="proved",
            reason="nothing found",
            time=self.now.isoformat(),
        )
        self.write(CHECK, msgspec.structs.replace(says, **changes), by)

    def roll_back(self, environment: str, by: str | None = "ci", **changes: Any) -> None:
        """Roll back; by default as a drill."""
        says = RollbackPredicate(
            environment=environment,
            release=self.release.id,
            target="earlier",
            reason="rollback drill",
            outcome="deployed",
            services={},
            time=self.now.isoformat(),
            rehearsal=True,
        )
        self.write(ROLLBACK, msgspec.structs.replace(says, **changes), by)

    def through_local(self, by: str | None = "ci") -> None:
        """Pass the first stage."""
        self.deploy("local", by)
        self.run("local", by)
        self.gate("local", by)

    def through_dev(self) -> None:
        """Pass the second stage."""
        self.sign("feature-complete", "dev", "rita", "release-manager")
        self.check("no-breaking-api-change", "dev")
        self.deploy("dev")
        self.run("dev")
        self.run("dev")
        self.gate("dev")

    def through_staging(self, **changes: Any) -> None:
        """Pass the third stage, half a day later; ``changes`` are made to its run."""
        self.wait(13)
        self.check("no-experimental-features", "staging")
        self.deploy("staging")
        self.run("staging", **changes)
        self.gate("staging")

    def ready_for_production(
        self,
        *,
        review: tuple[str | None, str] | None = ("sam", "security"),
        pipeline: tuple[str | None, str] | None = ("rita", "release-manager"),
        environment: str = "production",
        rehearsal: dict[str, Any] | None = None,
        hours: float = 25,
        **changes: Any,
    ) -> None:
        """Add all evidence for production, a day later.

        ``review`` and ``release`` are (key, role) of the approvals; None: no approval. ``changes`` are made to both
        approvals, and those in ``rehearsal`` to the rollback drill.
        """
        self.roll_back("staging", **(rehearsal or {}))
        self.sign_for_production(review=review, pipeline=pipeline, environment=environment, hours=hours, **changes)

    def sign_for_production(
        self,
        *,
        review: tuple[str | None, str] | None = ("sam", "security"),
        pipeline: tuple[str | None, str] | None = ("rita", "release-manager"),
        environment: str = "production",
        hours: float = 25,
        **changes: Any,
    ) -> None:
        """Wait, and approve, without a rollback drill."""
        self.wait(hours)
        for check, signer in (("security-review", review), ("release", pipeline)):
            if signer is not None:
                self.sign(check, environment, *signer, **changes)

    def into_production(self) -> None:
        """Be deployed and tested there."""
        self.deploy("production")
        self.run("production")

    def all_but(self, *left_out: str) -> None:
        """Walk the whole way, but leave out some steps, named as the methods are."""
        for step in ("through_local", "through_dev", "through_staging", "ready_for_production", "into_production"):
            if step not in left_out:
                getattr(self, step)()
