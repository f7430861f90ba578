"""Release check for breaking API changes, by comparison of the OpenAPI documents of two environments."""

from dataclasses import dataclass
from datetime import date, datetime

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.tolerance import PRODUCTION
from pytest_gaia.errors import ConfigError, GaiaError
from pytest_gaia.observation.documents import Fetched, Snapshot, digest_of, fetch, kept_folder, load, with_kept
from pytest_gaia.promotion.api._difference import ApiChange, difference
from pytest_gaia.promotion.gate.gate import BY_ID
from pytest_gaia.promotion.ledger.statements import CheckStatus
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.checks import environment_apart, not_running
from pytest_gaia.promotion.release.kept import Release

EXIT_CODES: dict[CheckStatus, int] = {"proved": 0, "failed": 1, "inconclusive": 11}

CHECK_ID = "no-breaking-api-change"
"""ID of the release check"""

# Errors in the comparison of malformed documents.
_MALFORMED = (ValueError, TypeError, AttributeError, KeyError, RecursionError)


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """One difference in the API of a service."""

    service: str
    change: ApiChange

    @property
    def breaking(self) -> bool:
        """Whether it may break a client of the older document."""
        return self.change.kind == "breaking"

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Kind, service, operation and text. Changes of one group have the same."""
        return self.change.kind, self.service, self.change.group or self.change.operation, str(self.change)

    def __str__(self) -> str:
        return f"{self.change.kind}: {self.service} {self.change.operation} {self.change}"


@dataclass(frozen=True, slots=True)
class ApiCheck:
    """The result of a comparison of two snapshots."""

    status: CheckStatus
    reason: str
    changes: tuple[ServiceChange, ...] = ()
    unclear: tuple[str, ...] = ()
    """parts that could not be compared, one sentence each"""
    notes: tuple[str, ...] = ()
    compared: dict[str, tuple[str, str]] | None = None
    """service → SHA-256 of the older and of the newer document"""

    @property
    def exit_code(self) -> int:
        """0: no breaking change; 1: a breaking change; 11: unknown."""
        return EXIT_CODES[self.status]

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings for the ledger: breaking changes, unclear parts, and the compared documents."""
        digests = (self.compared or {}).items()
        return (
            *(str(each) for each in self.changes if each.breaking),
            *self.unclear,
            *(f"compared: {service} sha256:{old} with sha256:{new}" for service, (old, new) in digests),
        )


def check(before: Snapshot, after: Snapshot, day: date) -> ApiCheck:
    """Compare the documents in ``before`` with those in ``after``. Only compared documents count as proof.

    An operation whose announced sunset is before ``day`` may be gone.
    """
    changes: list[ServiceChange] = []
    unclear: list[str] = []
    notes = [f"{name}: is new" for name in after if name not in before and after[name].document is not None]
    compared: dict[str, tuple[str, str]] = {}
    for name, older in before.items():
        newer = after.get(name)
        if older.document is None and not older.published:
            notes.append(f"{name}: publishes no document ({older.problem}), so nothing was compared")
        elif reason := _lacking(name, older, newer):
            unclear.append(reason)
        elif older.document is not None and newer is not None and newer.document is not None:
            try:
                found = difference(older.document, newer.document, day)
                changes += [ServiceChange(name, each) for each in found if each.kind != "unclear"]
                unclear += [f"{name}: {each.operation} {each}" for each in found if each.kind == "unclear"]
                compared[name] = digest_of(older.document), digest_of(newer.document)
            except _MALFORMED as error:
                unclear.append(f"{name}: cannot be compared: {error}")
    changes.sort(key=lambda each: (not each.breaking, not each.change.group))
    status, reason = _evaluated(changes, unclear, list(compared))
    return ApiCheck(status, reason, tuple(changes), tuple(unclear), tuple(notes), compared)


def undecided(reason: str) -> ApiCheck:
    """Return an inconclusive result with this reason."""
    return ApiCheck("inconclusive", reason, unclear=(reason,))


def _evaluated(changes: list[ServiceChange], unclear: list[str], compared: list[str]) -> tuple[CheckStatus, str]:
    breaking = [each for each in changes if each.breaking]
    if breaking:
        first = breaking[0]
        rest = [each for each in breaking if each.row != first.row]
        what = f"{first.service} {first.change.group or first.change.operation} {first.change.text}"
        return "failed", f"breaks clients: {what}{f' and {len(rest)} more' if rest else ''}"
    if unclear:
        return "inconclusive", unclear[0] + (f" (and {len(unclear) - 1} more)" if len(unclear) > 1 else "")
    if not compared:
        return "inconclusive", "no service has a document on both sides"
    compatible = "1 compatible change" if len(changes) == 1 else f"{len(changes) or 'no'} compatible changes"
    return "proved", f"no breaking change in {', '.join(compared)}; {compatible}"


def _lacking(name: str, older: Fetched, newer: Fetched | None) -> str:
    if older.document is None:
        return f"{name}: the older document is missing: {older.problem}"
    if newer is None:
        return f"{name}: the newer side has no document"
    return "" if newer.document is not None else f"{name}: the newer document is missing: {newer.problem}"


def check_release(promotion: Promotion, environment: str, release: Release, now: datetime) -> ApiCheck:
    """Compare the stage before ``environment``, which must run ``release``, with the environment of the role production.

    If ``environment`` is the first stage and requires this check, it is compared itself. If production is unreachable, its
    last saved documents count. Raises ``ConfigError`` for any other first stage.
    """
    production = promotion.with_role(PRODUCTION)[0]
    previous = promotion.stage(environment).previous
    if previous is None and BY_ID[CHECK_ID].target == promotion.project.role(environment):
        previous = environment
    if previous is None:
        raise ConfigError(
            f"{environment} is the first stage, so there is no earlier environment to compare. Set `promote_from` in "
            f"[env.{environment}.stage] of gaia.toml, or compare two environments: gaia api diff A B."
        )
    candidate, baseline = environment_apart(promotion, previous), environment_apart(promotion, production)
    if same := _same_address(candidate, baseline):
        return undecided(f"{previous} and {production} have the same address, {same}, so a comparison proves nothing")
    if problem := not_running(promotion, candidate, release, now):
        return undecided(problem)
    return check(baseline_of(promotion, baseline), fetch(candidate), now.date())


def baseline_of(promotion: Promotion, environment: Environment) -> Snapshot:
    """Return the current documents of ``environment``; if it is unreachable, the last saved ones."""
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
