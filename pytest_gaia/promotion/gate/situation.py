"""What a gate decides from: one bundle on its way into one environment, and the evidence that counts for it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from pytest_gaia.config.stages import Stage
from pytest_gaia.promotion.gate._outside import RollOut, last_deployment
from pytest_gaia.promotion.ledger.keys import TrustedKey
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import (
    NO_RELEASE,
    RUNS_WELL,
    SHORT,
    DeploymentPredicate,
    GatePredicate,
    Predicate,
    RollbackPredicate,
    RunPredicate,
    SignoffPredicate,
    WaiverPredicate,
)
from pytest_gaia.promotion.release.comparison import Comparison
from pytest_gaia.promotion.release.model import Release

P = TypeVar("P", bound=Predicate)

CLOCK_SKEW = timedelta(minutes=5)
"""evidence from further in the future than clocks differ is none"""

_OF_PEOPLE = (SignoffPredicate, WaiverPredicate)
_UNDER_LOCK = (RunPredicate, DeploymentPredicate, GatePredicate, RollbackPredicate)


@dataclass(frozen=True, slots=True)
class Evidence(Generic[P]):
    """One entry that counts, read as what it is."""

    entry: Entry
    says: P
    time: datetime

    @property
    def sha256(self) -> str:
        """How a decision refers to it."""
        return self.entry.sha256


@dataclass(frozen=True, slots=True)
class Stay:
    """Whether an environment runs the bundle, and since when without a break. Nothing set: nothing ever happened there."""

    since: Evidence[DeploymentPredicate | RollbackPredicate] | None = None
    """what brought it there; None while it is not known to run"""
    gone: str = ""
    """why it is not known to run, one sentence"""
    elsewhere: bool = False
    """whether something else was seen to run in its place"""
    before: str = ""
    """what ended its stay before this one"""


@dataclass(frozen=True, slots=True)
class Situation:
    """A bundle on its way into ``environment``. Everything that a decision rests on is in here."""

    environment: str
    stage: Stage
    release: Release
    entries: tuple[Entry, ...]
    now: datetime
    head: str = ""
    """the beginning of a hash that the ledger has to hold; empty where nobody noted one"""
    here: tuple[RollOut, ...] = ()
    """what this machine has rolled out, by promotions and outside of them"""
    running: tuple[Comparison, ...] | None = None
    """what was just seen to run in the environment, against the bundle; None where nobody looked"""

    @property
    def wanted(self) -> dict[str, str]:
        """What has to run in the environment: service → digest."""
        services = self.stage.services
        return {
            service: digest
            for service, digest in self.release.digests.items()
            if services is None or service in services
        }

    def evidence(self, kind: type[P], environment: str | None = None) -> list[Evidence[P]]:
        """Return what counts of ``kind`` about this bundle in an environment (its own by default), oldest first.

        Does not count: what is about another bundle or other images, is not signed as the stage asks, lies in the
        future, was a rehearsal on the sandbox, or was written by a promotion that had lost its lock.
        """
        wanted = environment or self.environment
        return [
            Evidence(entry, entry.predicate, entry.time)
            for entry in self.entries
            if isinstance(entry.predicate, kind)
            and entry.time is not None
            and entry.time <= self.now + CLOCK_SKEW
            and _about(entry.predicate) == (wanted, self.release.id)
            and entry.subjects == self.release.subjects()
            and self._may_say(entry)
            and not self._overtaken(entry)
        ]

    def newest(self, kind: type[P], environment: str | None = None) -> Evidence[P] | None:
        """Return the latest of :meth:`evidence`: what came before it is history."""
        found = self.evidence(kind, environment)
        return found[-1] if found else None

    def fresh(self, evidence: Evidence[Any]) -> bool:
        """Whether ``evidence`` is young enough to prove anything."""
        return self.now - evidence.time <= self.stage.evidence_age

    def stay(self, environment: str) -> Stay:
        """Return since when ``environment`` has run this bundle without a break, by everything that happened there."""
        stay, latest = Stay(), None
        for entry in self.entries:
            says = entry.predicate
            if isinstance(says, DeploymentPredicate | RollbackPredicate) and says.environment == environment:
                # An entry that is dated back does not make the stay longer.
                latest = max(filter(None, (latest, entry.time)), default=None)
                stay = self._after(stay, entry, says, latest)
        if outside := self.deployed_outside(environment):
            return Stay(gone=outside, elsewhere=True, before=stay.before)
        return stay

    def deployed_outside(self, environment: str) -> str:
        """Return what was deployed to ``environment`` outside of a promotion after the last one, one sentence; '' for nothing.

        It is in the ledger, or this machine has done it after everything that the ledger knows of the environment.
        """
        latest = last_deployment(self.entries, environment)
        if latest is None or latest.time is None:
            return ""
        if isinstance(latest.predicate, DeploymentPredicate) and latest.predicate.release == NO_RELEASE:
            return f"{environment} was {latest.predicate.reason}"
        late = [
            each
            for each in self.here
            if each.environment == environment
            and latest.time < each.time <= self.now + CLOCK_SKEW
            and not each.leaves(self.release.digests)
        ]
        return f"{environment} was {late[-1]}" if late else ""

    def _after(
        self, stay: Stay, entry: Entry, says: DeploymentPredicate | RollbackPredicate, latest: datetime | None
    ) -> Stay:
        rehearsed = isinstance(says, RollbackPredicate) and says.rehearsal
        arrived = says.target if isinstance(says, RollbackPredicate) and not rehearsed else says.release
        # A rehearsal goes forward again whatever came of the way back; a way forward that failed has an entry of its own.
        if says.outcome not in RUNS_WELL and not rehearsed:
            return Stay(gone=f"not known what {says.environment} runs: {_how(entry, says)} came to {says.outcome}")
        if arrived != self.release.id:
            return Stay(gone=_replaced(says, arrived), elsewhere=True)
        if rehearsed:
            return replace(stay, since=_since(entry, says, latest)) if stay.since else stay
        if self._has_other_images(entry, says):
            return Stay(gone=f"what {_how(entry, says)} has brought are not the images of this bundle")
        if not self._shows(entry):
            return (
                stay if stay.since else Stay(gone=f"{_how(entry, says)} is no evidence that {says.environment} runs it")
            )
        return stay if stay.since else Stay(_since(entry, says, latest), before=stay.gone)

    def _has_other_images(self, entry: Entry, says: DeploymentPredicate | RollbackPredicate) -> bool:
        # The subjects of a rollback are the images that it left.
        if isinstance(says, DeploymentPredicate) and entry.subjects != self.release.subjects():
            return True
        return any(self.release.digests.get(service, digest) != digest for service, digest in says.services.items())

    def _shows(self, entry: Entry) -> bool:
        in_time = entry.time is not None and entry.time <= self.now + CLOCK_SKEW
        return in_time and self._may_say(entry) and not self._overtaken(entry)

    def _overtaken(self, entry: Entry) -> bool:
        """Whether somebody had taken the environment's lock over before this was written."""
        if not isinstance(entry.predicate, _UNDER_LOCK):
            return False
        fence, (environment, _) = entry.predicate.fence, _about(entry.predicate)
        return any(
            getattr(each.predicate, "fence", 0) > fence
            and _about(each.predicate)[0] == environment
            and self._may_say(each)
            for each in self.entries
            if each.sequence < entry.sequence
        )

    def _may_say(self, entry: Entry) -> bool:
        if not isinstance(entry.predicate, _OF_PEOPLE):
            return testified(entry, self.stage)
        return _needs_no_signature(entry, self.stage) or bool(approvers(entry, self.release))


def testified(entry: Entry, stage: Stage) -> bool:
    """Whether ``entry`` counts as what a machine has seen in the environment of ``stage``."""
    return _needs_no_signature(entry, stage) or any(key.testifies for key in entry.signers)


def _needs_no_signature(entry: Entry, stage: Stage) -> bool:
    return not (stage.require_signed or entry.signed or entry.doubt)


def approvers(entry: Entry, release: Release) -> tuple[TrustedKey, ...]:
    """Return the keys behind a sign-off or waiver that may say it: in the role it names, and not an author's."""
    role = getattr(entry.predicate, "role", "")
    return tuple(key for key in entry.signers if key.approves(role, release.authors))


def _since(
    entry: Entry, says: DeploymentPredicate | RollbackPredicate, latest: datetime | None
) -> Evidence[DeploymentPredicate | RollbackPredicate] | None:
    return None if latest is None else Evidence(entry, says, latest)


def _replaced(says: DeploymentPredicate | RollbackPredicate, arrived: str) -> str:
    if arrived == NO_RELEASE:
        rolled_back = isinstance(says, RollbackPredicate)
        how = "rolled back to images of no bundle" if rolled_back else "deployed to outside of a promotion"
        return f"{says.environment} was {how} on {says.time[:10]}"
    return f"{says.environment} runs another bundle since: {arrived[:SHORT] or 'one without an id'}"


def _how(entry: Entry, says: DeploymentPredicate | RollbackPredicate) -> str:
    """Return what an entry is about, as people name it."""
    when = f"{entry.time:%Y-%m-%d %H:%M}" if entry.time else says.time[:16]
    if isinstance(says, RollbackPredicate):
        return f"the rollback from {says.release[:SHORT]} to {says.target[:SHORT]} on {when}"
    return f"the deployment of {says.release[:SHORT]} on {when}"


def _about(predicate: Predicate | None) -> tuple[str, str]:
    if predicate is None or (isinstance(predicate, RunPredicate) and predicate.details.rehearsal):
        return "", ""
    return predicate.environment, predicate.release
