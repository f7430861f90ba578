"""Release checks by tools: whether an environment runs a release, breaking API changes, and experimental features.

API changes are found by comparison of the OpenAPI documents of two environments.

The check of experimental features has two conditions. First, no deploy file of the release switches such a feature on in
the target environment, with a variable such as ``EXPERIMENTAL…``, ``ENABLE_EXPERIMENTAL…`` or ``FEATURE_…EXPERIMENTAL…``.
Second, no evidence depends on such a feature: the environment excludes experimental tests, or the newest run of the
release in the previous stage ran none of them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, TypeAlias

from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.resolve import Options, resolve_each
from pytest_gaia.config.tolerance import PRODUCTION
from pytest_gaia.errors import ConfigError, GaiaError, nearest
from pytest_gaia.observation.documents import Fetched, Snapshot, digest_of, fetch, kept_folder, load, with_kept
from pytest_gaia.promotion.api._difference import ApiChange, difference
from pytest_gaia.promotion.gate.gate import BY_ID
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import CHECK, CheckPredicate, CheckStatus, RunPredicate
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.signing import signers_for
from pytest_gaia.promotion.release.comparison import check_files, check_running, deploy_files, look
from pytest_gaia.promotion.release.kept import Release, configs_folder

Found: TypeAlias = tuple[CheckStatus, str, tuple[str, ...]]
"""status, reason, findings"""
EXPERIMENTAL, API = "no-experimental-features", "no-breaking-api-change"
"""IDs of the release checks"""
NAME = re.compile(r"^(?:\w*_)?(?:ENABLE_)?EXPERIMENTAL|^FEATURES?_\w*EXPERIMENTAL", re.IGNORECASE)
"""names of variables that switch an experimental feature"""
_OFF = ("", "0", "false", "no", "off", "none", "disabled", "never")
_VARIABLE = re.compile(r"\$\{?\w")

EXIT_CODES: dict[CheckStatus, int] = {"proved": 0, "failed": 1, "inconclusive": 11}

# Errors in the comparison of malformed documents.
_MALFORMED = (ValueError, TypeError, AttributeError, KeyError, RecursionError)


def environment_apart(promotion: Promotion, name: str) -> Environment:
    """Return the environment ``name``. Variables such as ``GAIA_ORDERS_URL`` apply to one environment only.

    Otherwise two environments in a comparison could have the same address. Raises ``ConfigError`` for an unknown name.
    """
    found = resolve_each(Options(project=promotion.project, environ=promotion.environ), apart=True)
    if name not in found:
        raise ConfigError(f"no environment is named {name!r}; {nearest(name, found)}")
    environment = found[name]
    if isinstance(environment, Exception):
        raise environment
    return environment


def not_running(promotion: Promotion, environment: Environment, release: Release, now: datetime) -> str:
    """Return the reason why it is not known that ``environment`` runs ``release``; '' if it does.

    If gaia deploys the environment, it is observed. Otherwise the newest deployment in the ledger counts.
    """
    if environment.deploy is None:
        return _not_said_to_run(promotion, environment.name, release, now)
    checks = list(check_running(release, look(environment, promotion.rootdir), environment.name))
    for each in checks:
        if each.status not in ("same", "left out"):
            return f"{environment.name} does not run release {release.short}: {each.what}: {each.reason}"
    if any(each.status == "same" for each in checks):
        return ""
    return f"{environment.name} runs no service of release {release.short}"


def record_check(
    promotion: Promotion,
    environment: str,
    release: Release,
    check: str,
    found: tuple[CheckStatus, str, Sequence[str]],
    now: datetime,
) -> Entry:
    """Write the result (status, reason, findings) of ``check`` to the ledger; return the entry.

    Raises ``ConfigError`` if the entry needs a signature and there is no key.
    """
    status, reason, findings = found
    predicate = CheckPredicate(
        environment=environment,
        release=release.id,
        check=check,
        status=status,
        reason=reason,
        findings=tuple(findings),
        time=now.isoformat(timespec="seconds"),
    )
    signers = signers_for(promotion, environment)
    return promotion.ledger.append(CHECK, release.subjects(), predicate, signers=signers)


def _not_said_to_run(promotion: Promotion, name: str, release: Release, now: datetime) -> str:
    stay = promotion.situation(name, release, now).stay(name)
    if stay.since or stay.gone:
        return stay.gone
    return f"no evidence that {name} runs release {release.short}; run: gaia promote {name} {release.short}"


def check_experimental(promotion: Promotion, environment: str, release: Release, now: datetime) -> Found:
    """Return the result of the check for a promotion of ``release`` to ``environment``.

    Raises ``ConfigError`` for an unknown environment, and if the deploy files cannot be read.
    """
    settings = promotion.resolve(environment, {})
    files, problem = _files(promotion, settings, release)
    on, unseen = sorted(_switched_on(files)), sorted(_unseen(files, settings))
    if on:
        return "failed", f"switched on in {environment}: {', '.join(on)}", tuple(on)
    if problem or unseen:
        return "inconclusive", problem or f"unknown value of {', '.join(unseen)}", tuple(unseen)
    status, reason = _runs(promotion, settings, release, now)
    names = ", ".join(sorted({app.path.name for app in files.apps})) if files else ""
    return (status, f"no experimental feature in {names}; {reason}" if status == "proved" else reason, ())


def _files(promotion: Promotion, environment: Environment, release: Release) -> tuple[Deployment | None, str]:
    """Return the saved deploy files of the release for the environment, or the reason why there are none."""
    folder = promotion.project.deploy_files_in(configs_folder(promotion.rootdir, release))
    source = environment.deploy_source
    if source is None:
        return None, f"{environment.name} has no deploy files, so its variables are unknown"
    changed = [each for each in check_files(release, deploy_files(folder), what="kept file") if each.status != "same"]
    if changed or not release.configs:
        reason = f"{changed[0].what} {changed[0].reason}" if changed else "it has none"
        return None, f"the saved deploy files of release {release.short} are missing or changed: {reason}"
    try:
        return folder.deployment(environment.name, source, ask=False), ""
    except ConfigError as error:
        return None, str(error)


def _switched_on(files: Deployment | None) -> Iterator[str]:
    for app in files.apps if files else ():
        for name, value in app.env.items():
            if NAME.search(name) and not _VARIABLE.search(value) and value.strip().lower() not in _OFF:
                yield f"{app.service} {name}={value}"


def _unseen(files: Deployment | None, environment: Environment) -> Iterator[str]:
    """Yield experimental features with an unknown value: it comes from another variable or from a secret."""
    for app in files.apps if files else ():
        for name, value in app.env.items():
            if NAME.search(name) and _VARIABLE.search(value):
                yield f"{app.service} {name}"
    for name in environment.deploy.secrets if environment.deploy else ():
        if NAME.search(name):
            yield f"the secret {name}"


def _runs(
    promotion: Promotion, environment: Environment, release: Release, now: datetime
) -> tuple[Literal["proved", "inconclusive"], str]:
    if not environment.experimental:
        return "proved", f"{environment.name} runs no experimental test"
    previous = promotion.stage(environment.name).previous
    if previous is None:
        return "inconclusive", (
            f"{environment.name} runs experimental tests, and has no previous stage; exclude them "
            f"(`experimental = false` in [env.{environment.name}] of gaia.toml)"
        )
    run = promotion.situation(environment.name, release, now).newest(RunPredicate, previous)
    if run is None:
        return (
            "inconclusive",
            f"no valid run of this release in {previous}; run: gaia promote {previous} {release.short}",
        )
    if count := run.says.details.experimental_run:
        return "inconclusive", (
            f"the newest run in {previous} includes {count} experimental tests; exclude them "
            f"(`experimental = false` in [env.{previous}] of gaia.toml), or in [env.{environment.name}]"
        )
    return "proved", f"the newest run in {previous} ran no experimental test"


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


def compare(before: Snapshot, after: Snapshot, day: date) -> ApiCheck:
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
    if previous is None and BY_ID[API].target == promotion.project.role(environment):
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
    return compare(baseline_of(promotion, baseline), fetch(candidate), now.date())


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
