"""What a gate decides from: the release, the environment, and the entries of the ledger.

Not every entry is evidence. :class:`Situation` leaves out those that prove nothing, such as entries without a required signature.
It also knows which rollouts this machine did: one outside of a promotion blocks the gate until a release is promoted there again.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Generic, TypeVar

from pytest_gaia.config.platform import Platform
from pytest_gaia.config.stages import Stage
from pytest_gaia.promotion.ledger.keys import TrustedKey
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import (
    NO_RELEASE,
    OUTCOMES,
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
from pytest_gaia.promotion.release.kept import Release
from pytest_gaia.rollout.journal import Entry as Line
from pytest_gaia.rollout.journal import Journal

P = TypeVar("P", bound=Predicate)

CLOCK_SKEW = timedelta(minutes=5)
"""tolerated difference of clocks; later evidence is ignored"""

_BY_PEOPLE = (SignoffPredicate, WaiverPredicate)
_UNDER_LOCK = (RunPredicate, DeploymentPredicate, GatePredicate, RollbackPredicate)
_NOTHING_DONE = frozenset({"unchanged", "not begun"})


@dataclass(frozen=True, slots=True)
class LocalRollout:
    """A deployment or rollback by this machine, from its deployment history."""

    environment: str
    time: datetime
    """time of its last line"""
    who: str
    action: str
    changed: bool
    """whether a service was deployed"""
    services: Mapping[str, str]
    """service → digest observed afterwards; empty if none or several were observed"""

    def only_observed(self, images: Mapping[str, str]) -> bool:
        """Whether it deployed nothing, and found ``images`` (service → digest) running."""
        return not self.changed and all(images.get(each, found) == found for each, found in self.services.items())

    def __str__(self) -> str:
        how = "rolled back" if self.action == "rollback" else "deployed"
        return f"{how} outside of a promotion on {self.time:%Y-%m-%d %H:%M}, by {self.who}"


def local_rollouts(rootdir: Path, environments: Iterable[str]) -> tuple[LocalRollout, ...]:
    """Return the rollouts of ``environments`` on this machine, in order."""
    found = []
    for name in environments:
        runs: dict[str, list[Line]] = {}
        for line in _lines(rootdir, name):
            runs.setdefault(line.run, []).append(line)
        found += [_read(name, lines) for lines in runs.values()]
    return tuple(found)


def last_deployment(entries: Sequence[Entry], environment: str) -> Entry | None:
    """Return the newest deployment or rollback of ``environment`` in the ledger."""
    for entry in reversed(entries):
        says = entry.predicate
        if isinstance(says, DeploymentPredicate | RollbackPredicate) and says.environment == environment:
            return entry
    return None


def _lines(rootdir: Path, name: str) -> tuple[Line, ...]:
    try:
        return Journal(rootdir, name).entries()
    except OSError:
        # `gaia release check --observe` finds the same without this file.
        return ()


def _read(name: str, lines: list[Line]) -> LocalRollout:
    services = {line.service: line.digests[0] if len(line.digests) == 1 else "" for line in lines if line.service}
    ended = {line.service: line.outcome for line in lines if line.event == "end"}
    changed = any(ended.get(line.service) not in _NOTHING_DONE for line in lines if line.event == "start")
    who = next((line.who for line in lines if line.who), "unknown")
    return LocalRollout(name, datetime.fromisoformat(lines[-1].when), who, lines[0].action, changed, services)


@dataclass(frozen=True, slots=True)
class Evidence(Generic[P]):
    """A valid entry."""

    entry: Entry
    says: P
    """its predicate"""
    time: datetime

    @property
    def sha256(self) -> str:
        """SHA-256 of the envelope, which decisions refer to."""
        return self.entry.sha256


@dataclass(frozen=True, slots=True)
class Stay:
    """The time that a release has run in an environment, without a break. Empty if it was never deployed there."""

    since: Evidence[DeploymentPredicate | RollbackPredicate] | None = None
    """the deployment or rollback that started it; None if the release is not known to run"""
    gone: str = ""
    """why the release is not known to run"""
    elsewhere: bool = False
    """whether another release was observed in its place"""
    before: str = ""
    """what ended its previous stay"""


@dataclass(frozen=True, slots=True)
class Declared:
    """What the project declares now about an environment."""

    role: str
    """what the environment is for, such as ``staging``; empty for none of the known roles"""
    platform: Platform
    """description of all services"""
    services: tuple[str, ...] | None = None
    """services that the environment has; None if it is not configured"""
    required: tuple[str, ...] = ()
    """services without which no test runs there"""
    built: tuple[str, ...] = ()
    """services that a deploy tool deploys there, and whose images a release therefore needs"""
    suites: frozenset[str] | None = None
    """names of the suites; None if they are unknown"""
    environments: tuple[str, ...] = ()
    """all environments of the project; empty if they are unknown"""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """settings that decide what is tested with, see :mod:`~pytest_gaia.promotion.gate.settings`"""


@dataclass(frozen=True)
class Situation:
    """A release, an environment, and everything else that a gate decides from.

    All checks of a gate use the same one, so that the entries are searched only once.
    """

    environment: str
    declared: Declared
    stage: Stage
    release: Release
    entries: tuple[Entry, ...]
    """all entries of the ledger, in order"""
    now: datetime
    head: str = ""
    """beginning of the hash of a required entry; empty for none"""
    rollouts: tuple[LocalRollout, ...] = ()
    """what this machine did, in promotions and outside of them"""
    running: tuple[Comparison, ...] | None = None
    """comparison with what runs in the environment now; None if it was not observed"""
    _valid_by_type: dict[type[Any], list[Evidence[Any]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """type of a predicate → its valid entries, about all releases"""
    _about_release: dict[tuple[type[Any], str], list[Evidence[Any]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """type of a predicate and environment → its valid entries about the release"""

    @property
    def wanted(self) -> dict[str, str]:
        """Return service → digest for what must run in the environment."""
        services = self.stage.services
        return {
            service: digest
            for service, digest in self.release.digests.items()
            if services is None or service in services
        }

    def evidence(self, kind: type[P], environment: str | None = None) -> list[Evidence[P]]:
        """Return the valid entries of ``kind`` about this release in an environment, oldest first.

        Left out are entries about another release or other images, without the required signature, from the future, of
        simulated runs, and of promotions that had lost their lock.
        """
        where = environment or self.environment
        if (kind, where) not in self._about_release:
            about, subjects = (where, self.release.id), self.release.subjects()
            found = self._valid(kind)
            self._about_release[kind, where] = [
                each for each in found if _about(each.says) == about and each.entry.subjects == subjects
            ]
        return list(self._about_release[kind, where])

    def last_promoted(self, environment: str) -> list[Evidence[Any]]:
        """Return the run and the deployment of the release, this one or another, that last passed the gate there.

        An environment without promotions follows the last one with its role that the project no longer declares: a new
        name is no new beginning.
        """
        promoted = [each for each in self._valid(GatePredicate) if each.says.decision.verdict == "PROMOTE"]
        passed = [each for each in promoted if _about(each.says)[0] == environment] or self._renamed(promoted)
        if not passed:
            return []
        gate = passed[-1]
        found: list[Evidence[Any]] = []
        for kind in (RunPredicate, DeploymentPredicate):
            about = [each for each in self._valid(kind) if _about(each.says) == _about(gate.says)]
            found += [each for each in about if each.entry.sequence < gate.entry.sequence][-1:]
        return found

    def _renamed(self, promoted: Sequence[Evidence[GatePredicate]]) -> list[Evidence[GatePredicate]]:
        known, role = self.declared.environments, self.declared.role
        if not (known and role):
            return []
        roles = {_about(each.says)[0]: each.says.details.role for each in self._valid(RunPredicate)}
        return [each for each in promoted if (name := _about(each.says)[0]) not in known and roles.get(name) == role]

    def runs_before(self, environment: str) -> Iterator[Evidence[RunPredicate]]:
        """Yield the run of each other release that passed the gate of ``environment``, newest first.

        Left out are releases that were rolled back from there, because another one was accepted in their place.
        """
        back = {_about(each.says) for each in self._valid(RollbackPredicate) if not each.says.rehearsal}
        runs: dict[tuple[str, str], list[Evidence[RunPredicate]]] = {}
        for run in self._valid(RunPredicate):
            if not run.entry.problem:
                runs.setdefault(_about(run.says), []).append(run)
        for gate in reversed(self._valid(GatePredicate)):
            about = _about(gate.says)
            passed = gate.says.decision.verdict == "PROMOTE" and not gate.entry.problem
            if passed and about[0] == environment and about[1] != self.release.id and about not in back:
                earlier = bisect_left(runs.get(about, ()), gate.entry.sequence, key=_sequence)
                yield from runs.get(about, [])[max(earlier - 1, 0) : earlier]

    def _valid(self, kind: type[P]) -> Sequence[Evidence[P]]:
        if kind not in self._valid_by_type:
            self._valid_by_type[kind] = [
                Evidence(entry, entry.predicate, entry.time)
                for entry in self.entries
                if isinstance(entry.predicate, kind) and entry.time is not None and self._is_valid(entry)
            ]
        return self._valid_by_type[kind]

    def newest(self, kind: type[P], environment: str | None = None) -> Evidence[P] | None:
        """Return the newest of :meth:`evidence`."""
        found = self.evidence(kind, environment)
        return found[-1] if found else None

    def fresh(self, evidence: Evidence[Any]) -> bool:
        """Whether ``evidence`` is not older than the stage allows."""
        return self.now - evidence.time <= self.stage.evidence_age

    def stay(self, environment: str) -> Stay:
        """Return since when ``environment`` has run this release, from all its deployments and rollbacks."""
        stay, latest = Stay(), None
        for entry in self.entries:
            says = entry.predicate
            if isinstance(says, DeploymentPredicate | RollbackPredicate) and says.environment == environment:
                # A backdated entry must not make the stay longer.
                latest = max(filter(None, (latest, entry.time)), default=None)
                stay = self._after(stay, entry, says, latest)
        if outside := self.deployed_outside(environment):
            return Stay(gone=outside, elsewhere=True, before=stay.before)
        return stay

    def deployed_outside(self, environment: str) -> str:
        """Return a sentence about a deployment outside of a promotion after the last one; empty if there is none."""
        latest = last_deployment(self.entries, environment)
        if latest is None or latest.time is None:
            return ""
        if isinstance(latest.predicate, DeploymentPredicate) and latest.predicate.release == NO_RELEASE:
            return f"{environment} was {latest.predicate.reason}"
        late = [
            each
            for each in self.rollouts
            if each.environment == environment
            and latest.time < each.time <= self.now + CLOCK_SKEW
            and not each.only_observed(self.release.digests)
        ]
        return f"{environment} was {late[-1]}" if late else ""

    def waiver(self, check: str, until: str) -> str:
        """Return the command that waives ``check``."""
        release = f"{self.release.short} {check} -e {self.environment}"
        return f"gaia release waive {release} --until {until} --reason …"

    def _after(
        self, stay: Stay, entry: Entry, says: DeploymentPredicate | RollbackPredicate, latest: datetime | None
    ) -> Stay:
        rehearsed = isinstance(says, RollbackPredicate) and says.rehearsal
        arrived = says.target if isinstance(says, RollbackPredicate) and not rehearsed else says.release
        # A drill restores the release even if its rollback failed; a failed restoration has its own entry.
        if says.outcome not in RUNS_WELL and not rehearsed:
            return Stay(
                gone=f"unknown what {says.environment} runs: {_how(entry, says)} ended with {OUTCOMES[says.outcome]}"
            )
        if arrived != self.release.id:
            return Stay(gone=_replaced(says, arrived), elsewhere=True)
        if rehearsed:
            return replace(stay, since=_since(entry, says, latest)) if stay.since else stay
        if self._has_other_images(entry, says):
            return Stay(gone=f"{_how(entry, says)} has other images than this release")
        if not self._is_valid(entry):
            return (
                stay if stay.since else Stay(gone=f"{_how(entry, says)} is not valid evidence for {says.environment}")
            )
        return stay if stay.since else Stay(_since(entry, says, latest), before=stay.gone)

    def _has_other_images(self, entry: Entry, says: DeploymentPredicate | RollbackPredicate) -> bool:
        # The subjects of a rollback are the images before it.
        if isinstance(says, DeploymentPredicate) and entry.subjects != self.release.subjects():
            return True
        return any(self.release.digests.get(service, digest) != digest for service, digest in says.services.items())

    def _is_valid(self, entry: Entry) -> bool:
        in_time = entry.time is not None and entry.time <= self.now + CLOCK_SKEW
        return in_time and self._has_signature(entry) and not self._had_lost_lock(entry)

    def _had_lost_lock(self, entry: Entry) -> bool:
        """Whether another promotion had taken the lock before ``entry`` was written."""
        if not isinstance(entry.predicate, _UNDER_LOCK):
            return False
        sequences, highest = self._fences.get(_about(entry.predicate)[0], ((), ()))
        earlier = bisect_left(sequences, entry.sequence)
        return earlier > 0 and highest[earlier - 1] > entry.predicate.fence

    @cached_property
    def _fences(self) -> Mapping[str, tuple[Sequence[int], Sequence[int]]]:
        """Environment → numbers of its entries, in order, and the highest fencing token up to each of them."""
        found: dict[str, list[tuple[int, int]]] = {}
        for entry in self.entries:
            if self._has_signature(entry):
                token = entry.sequence, getattr(entry.predicate, "fence", 0)
                found.setdefault(_about(entry.predicate)[0], []).append(token)
        tokens = {name: sorted(each) for name, each in found.items()}
        return {
            name: ([number for number, _ in each], list(accumulate((fence for _, fence in each), max)))
            for name, each in tokens.items()
        }

    def _has_signature(self, entry: Entry) -> bool:
        """Whether a key that may sign ``entry`` signed it, if the stage requires that."""
        if not isinstance(entry.predicate, _BY_PEOPLE):
            return attested(entry, self.stage)
        return _needs_no_signature(entry, self.stage) or bool(approvers(entry, self.release))


def attested(entry: Entry, stage: Stage) -> bool:
    """Whether ``entry`` counts as evidence of a machine for ``stage``."""
    return _needs_no_signature(entry, stage) or any(key.attests for key in entry.signers)


def _needs_no_signature(entry: Entry, stage: Stage) -> bool:
    return not (stage.require_signed or entry.signed or entry.doubt)


def approvers(entry: Entry, release: Release) -> tuple[TrustedKey, ...]:
    """Return the keys that may sign the approval or waiver: with its role, and not of an author."""
    role = getattr(entry.predicate, "role", "")
    return tuple(key for key in entry.signers if key.approves(role, release.authors))


def _since(
    entry: Entry, says: DeploymentPredicate | RollbackPredicate, latest: datetime | None
) -> Evidence[DeploymentPredicate | RollbackPredicate] | None:
    return None if latest is None else Evidence(entry, says, latest)


def _replaced(says: DeploymentPredicate | RollbackPredicate, arrived: str) -> str:
    if arrived == NO_RELEASE:
        rolled_back = isinstance(says, RollbackPredicate)
        how = "rolled back to images without a release" if rolled_back else "deployed outside of a promotion"
        return f"{says.environment} was {how} on {says.time[:10]}"
    return f"{says.environment} now runs another release: {arrived[:SHORT] or 'without ID'}"


def _how(entry: Entry, says: DeploymentPredicate | RollbackPredicate) -> str:
    """Describe a deployment or rollback."""
    when = f"{entry.time:%Y-%m-%d %H:%M}" if entry.time else says.time[:16]
    if isinstance(says, RollbackPredicate):
        return f"the rollback from {says.release[:SHORT]} to {says.target[:SHORT]} on {when}"
    return f"the deployment of {says.release[:SHORT]} on {when}"


def _sequence(evidence: Evidence[Any]) -> int:
    return evidence.entry.sequence


def _about(predicate: Predicate | None) -> tuple[str, str]:
    if predicate is None or (isinstance(predicate, RunPredicate) and predicate.details.rehearsal):
        return "", ""
    return predicate.environment, predicate.release
