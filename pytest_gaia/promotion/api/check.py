"""Does a release break what production promises its clients? Decided from the documents of two environments."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pytest_gaia.config.environment import Environment
from pytest_gaia.errors import ConfigError, GaiaError
from pytest_gaia.promotion.api._difference import ApiChange, difference
from pytest_gaia.promotion.api.snapshots import Fetched, Snapshot, fetch, kept_folder, load, with_kept
from pytest_gaia.promotion.gate.checks import BY_ID
from pytest_gaia.promotion.ledger.statements import CheckStatus
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.checks import environment_apart, not_running
from pytest_gaia.promotion.release.model import Release

EXIT_CODES: dict[CheckStatus, int] = {"proved": 0, "failed": 1, "inconclusive": 11}

CHECK_ID = "no-breaking-api-change"
"""of the checklist"""

# What a document that only looks like one makes the comparison of its parts stumble over.
_MALFORMED = (ValueError, TypeError, AttributeError, KeyError, RecursionError)


BASELINE = "production"
"""the environment whose clients must not be broken"""


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """One difference, and of which service."""

    service: str
    change: ApiChange

    @property
    def breaking(self) -> bool:
        """Whether a client of the older document may stumble over it."""
        return self.change.kind == "breaking"

    def __str__(self) -> str:
        return f"{self.change.kind}: {self.service} {self.change.operation} {self.change}"


@dataclass(frozen=True, slots=True)
class ApiCheck:
    """What the comparison of two snapshots has come to."""

    status: CheckStatus
    reason: str
    changes: tuple[ServiceChange, ...] = ()
    unclear: tuple[str, ...] = ()
    """what could not be compared, one sentence each"""
    notes: tuple[str, ...] = ()
    compared: dict[str, tuple[str, str]] | None = None
    """service → SHA-256 of the older and of the newer document"""

    @property
    def exit_code(self) -> int:
        """0 nothing breaks, 1 something does, 11 not known."""
        return EXIT_CODES[self.status]

    @property
    def findings(self) -> tuple[str, ...]:
        """What goes into the ledger: what breaks, what is not clear, and what was compared with what."""
        digests = (self.compared or {}).items()
        return (
            *(str(each) for each in self.changes if each.breaking),
            *self.unclear,
            *(f"compared: {service} sha256:{old} with sha256:{new}" for service, (old, new) in digests),
        )


def check(before: Snapshot, after: Snapshot) -> ApiCheck:
    """Compare what ``before`` promises with what ``after`` offers. Only what was compared proves anything."""
    changes: list[ServiceChange] = []
    unclear: list[str] = []
    notes = [f"{name}: is new" for name in after if name not in before and after[name].document is not None]
    compared: dict[str, tuple[str, str]] = {}
    for name, older in before.items():
        newer = after.get(name)
        if older.document is None and not older.published:
            notes.append(f"{name}: publishes no document ({older.problem}): nothing to hold it to")
        elif reason := _lacking(name, older, newer):
            unclear.append(reason)
        elif older.document is not None and newer is not None and newer.document is not None:
            try:
                found = difference(older.document, newer.document)
                changes += [ServiceChange(name, each) for each in found if each.kind != "unclear"]
                unclear += [f"{name}: {each.operation} {each}" for each in found if each.kind == "unclear"]
                compared[name] = _digest(older.document), _digest(newer.document)
            except _MALFORMED as error:
                unclear.append(f"{name}: a document cannot be understood: {error}")
    status, reason = _evaluated(changes, unclear, list(compared))
    return ApiCheck(status, reason, tuple(changes), tuple(unclear), tuple(notes), compared)


def undecided(reason: str) -> ApiCheck:
    """Return that nothing could be compared, and why."""
    return ApiCheck("inconclusive", reason, unclear=(reason,))


def _evaluated(changes: list[ServiceChange], unclear: list[str], compared: list[str]) -> tuple[CheckStatus, str]:
    breaking = [each for each in changes if each.breaking]
    if breaking:
        more = f" and {len(breaking) - 1} more" if len(breaking) > 1 else ""
        first = breaking[0]
        return "failed", f"breaks clients: {first.service} {first.change.operation} {first.change.text}{more}"
    if unclear:
        return "inconclusive", unclear[0] + (f" (and {len(unclear) - 1} more)" if len(unclear) > 1 else "")
    if not compared:
        return "inconclusive", "no service has a document on both sides"
    added = f", {len(changes)} compatible changes" if changes else ", no change"
    return "proved", f"nothing breaks in {', '.join(compared)}{added}"


def _lacking(name: str, older: Fetched, newer: Fetched | None) -> str:
    if older.document is None:
        return f"{name}: the older document is not known: {older.problem}"
    if newer is None:
        return f"{name}: the newer side has no document of it"
    return "" if newer.document is not None else f"{name}: the newer document is not known: {newer.problem}"


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def check_release(promotion: Promotion, environment: str, release: Release, now: datetime) -> ApiCheck:
    """Compare the environment that ``release`` comes from, on its way into ``environment``, with production.

    A first stage that asks for this is compared itself: the release runs nowhere before. Where production does not answer,
    its documents that were kept last count. Raises ``ConfigError`` for any other first stage.
    """
    previous = promotion.stage(environment).previous
    if previous is None and BY_ID[CHECK_ID].target == environment:
        previous = environment
    if previous is None:
        raise ConfigError(
            f"{environment} is the first stage: a release comes there from nowhere, and there is nothing to compare. "
            f"Set `promote_from` in [env.{environment}.stage] of gaia.toml, or compare two: gaia api diff A B."
        )
    candidate, baseline = environment_apart(promotion, previous), environment_apart(promotion, BASELINE)
    if same := _same_address(candidate, baseline):
        return undecided(f"{previous} and {BASELINE} have the same address, {same}: that compares nothing")
    if problem := not_running(promotion, candidate, release, now):
        return undecided(problem)
    return check(baseline_of(promotion, baseline), fetch(candidate))


def baseline_of(promotion: Promotion, environment: Environment) -> Snapshot:
    """Return what ``environment`` promises now; where it does not answer, what it was last seen to promise."""
    folder = kept_folder(promotion.rootdir, environment.name)
    try:
        return with_kept(fetch(environment), folder)
    except GaiaError:
        if not folder.is_dir():
            raise
        return load(folder)


def _same_address(one: Environment, other: Environment) -> str:
    shared = set(one.urls.values()) & set(other.urls.values())
    return min(shared, default="")
