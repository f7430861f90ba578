"""Plans for a rollback of an environment to the last release that worked there, according to the ledger.

A release that was rolled back anywhere is blocked: it is no target, and no gate promotes it again.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.config.environment import Environment
from pytest_gaia.deploy.outcome import is_gone
from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import (
    NO_RELEASE,
    RUNS_WELL,
    SHORT,
    DeploymentPredicate,
    DeployOutcome,
    RollbackPredicate,
    RunPredicate,
)
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.release.comparison import check_files, deploy_files
from pytest_gaia.promotion.release.kept import FOLDER, Release, configs_folder
from pytest_gaia.rollout.model import GOOD, Action, Rollout, RolloutResult, StepResult
from pytest_gaia.rollout.plan import apps_of, rollout_of, step_of


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """A planned rollback from a release to an earlier one."""

    release: Release
    """the release to roll back from"""
    target: Release
    rollout: Rollout
    notes: tuple[str, ...] = ()
    """information for the confirmation"""


def running_release(promotion: Promotion, environment: str) -> str:
    """Return the ID of the release that ``environment`` runs, according to the ledger; empty if it is unknown.

    It is unknown after a deployment outside of a promotion.

    Raises ``ConfigError`` if the last event was a successful rollback.
    """
    for entry in reversed(promotion.ledger.entries()):
        says = entry.predicate
        if isinstance(says, DeploymentPredicate) and says.environment == environment and not says.rehearsal:
            return "" if says.release == NO_RELEASE else says.release
        if isinstance(says, RollbackPredicate) and says.environment == environment and not says.rehearsal:
            if says.outcome not in RUNS_WELL:
                return says.release
            raise ConfigError(
                f"{environment} was rolled back from {says.release[:SHORT]} to {says.target[:SHORT]} on {says.time[:16]}: "
                "a rollback cannot be rolled back. Promote a new release (gaia release create), or pass images: --to "
                "SERVICE=IMAGE. Nothing was changed."
            )
    return ""


def plan_to_earlier(
    promotion: Promotion, environment: Environment, release: Release, now: datetime, *, accept_migrations: bool = False
) -> RollbackPlan | None:
    """Return a plan to roll ``environment`` back from ``release``; None if the ledger has no earlier good release.

    Raises ``ConfigError`` if the earlier release or its deploy files are missing or changed, if it lacks an image, or if
    it expects another migration (unless ``accept_migrations``).
    """
    entries = promotion.ledger.entries()
    found = earlier_release(promotion, environment.name, release, now, entries)
    if found is None:
        return None
    target, seen = found
    services = promotion.services(environment.name, release)
    if lacking := [each for each in services if each not in target.digests]:
        raise ConfigError(
            f"release {target.short} has no image of {', '.join(lacking)}, which {environment.name} runs, so it "
            "is no complete rollback target. Pass the images: --to SERVICE=IMAGE. Nothing was changed."
        )
    notes = (
        *gone_targets(entries, environment.name).values(),
        *_migrations(release, target, accept=accept_migrations),
    )
    origin = f"release {target.short}, last known good on {seen[:16]}"
    rollout = rollout_to(promotion, environment, target, tuple(reversed(services)), "rollback", origin)
    return RollbackPlan(release, target, rollout, notes)


def rollout_to(
    promotion: Promotion,
    environment: Environment,
    release: Release,
    services: tuple[str, ...],
    action: Action,
    origin: str,
) -> Rollout:
    """Return the rollout of the images of ``release``, with its own deploy files, to ``services`` in this order."""
    apps = _apps(promotion, environment, release)
    images = {each.service: each.image for each in release.components}
    if unknown := [each for each in services if apps and each not in apps]:
        raise ConfigError(f"release {release.short} has no deploy file of {environment.name} for {', '.join(unknown)}.")
    steps = (step_of(environment, each, apps.get(each), images[each], origin) for each in services)
    return rollout_of(environment, promotion.rootdir, steps, action)


def rollback_predicate(
    left: str, target: str, result: RolloutResult, *, reason: str, now: datetime, fence: int, rehearsal: bool = False
) -> RollbackPredicate:
    """Return the ledger entry for a rollback with this ``result``."""
    return RollbackPredicate(
        environment=result.environment,
        release=left,
        target=target,
        reason=reason,
        outcome=outcome_of(result),
        services={step.service: step.digests[0] for step in result.steps if len(step.digests) == 1},
        time=now.isoformat(timespec="seconds"),
        rehearsal=rehearsal,
        fence=fence,
        gone=tuple(step.service for step in result.steps if step.outcome not in GOOD and is_gone(step.reason)),
    )


def outcome_of(result: RolloutResult) -> DeployOutcome:
    """Return one outcome for all services: that of the first failed service, else of the first changed one."""
    bad = next((step for step in result.steps if step.outcome not in GOOD), None)
    if bad is not None:
        return _word(bad)
    changed = [_word(step) for step in result.steps if step.outcome != "unchanged"]
    return max(changed, key=lambda word: word == "deployed_with_tool_error") if changed else "unchanged"


def _word(step: StepResult) -> DeployOutcome:
    match step.outcome:
        case "deployed" | "deployed_with_tool_error" | "unchanged" | "phantom" | "split" as word:
            return word
        case _:
            return "failed"


def earlier_release(
    promotion: Promotion, name: str, release: Release, now: datetime, entries: tuple[Entry, ...]
) -> tuple[Release, str] | None:
    """Return the last release before ``release`` that passed in the environment, and the time; None without one."""
    tried: set[str] = {release.id, NO_RELEASE, *gone_targets(entries, name)}
    blocked = _blocked(entries)
    for deployed in _deployments(entries, name):
        if deployed.release in tried or deployed.release in blocked:
            continue
        tried.add(deployed.release)
        earlier = _found(promotion, name, deployed.release, entries)
        if earlier is None:
            continue
        situation = promotion.situation(name, earlier, now, entries)
        run, deployment = situation.newest(RunPredicate), situation.newest(DeploymentPredicate)
        well = deployment is not None and deployment.says.outcome in RUNS_WELL
        if well and run is not None and run.says.details.verdict == "PROMOTE":
            return earlier, run.time.isoformat(timespec="seconds")
    return None


def gone_targets(entries: Iterable[Entry], name: str) -> dict[str, str]:
    """Return release → reason why ``name`` cannot roll back to it: an image was missing, and it did not run since."""
    found: dict[str, str] = {}
    for entry in entries:
        says = entry.predicate
        if isinstance(says, RollbackPredicate) and says.environment == name and says.gone:
            images = f"the image of {', '.join(says.gone)} was not in its registry on {says.time[:16]}"
            found[says.target] = f"release {says.target[:SHORT]} was skipped: {images}"
        elif isinstance(says, DeploymentPredicate) and says.environment == name and says.outcome in RUNS_WELL:
            found.pop(says.release, None)
    return found


def _found(promotion: Promotion, name: str, release: str, entries: Iterable[Entry]) -> Release | None:
    """Return the release with this ID; None if it is not saved here and no run of it passed.

    Raises ``ConfigError`` if a run passed, because entries cannot be compared with the images of a missing release.
    """
    try:
        return promotion.release(release)
    except ConfigError as error:
        runs = (each.predicate.details for each in entries if isinstance(each.predicate, RunPredicate))
        if any((run.environment, run.release, run.verdict) == (name, release, "PROMOTE") for run in runs):
            raise ConfigError(
                f"{name} would return to release {release[:SHORT]}, its last good one, but this machine does not have it: "
                f"{error} Copy {FOLDER} from the machine that created it, or pass the images: --to SERVICE=IMAGE. Nothing was "
                "changed."
            ) from None
        return None


def _deployments(entries: Sequence[Entry], name: str) -> Iterator[DeploymentPredicate]:
    """Yield the deployments to ``name``, newest first."""
    for entry in reversed(entries):
        says = entry.predicate
        if isinstance(says, DeploymentPredicate) and says.environment == name and not says.rehearsal:
            yield says


def _blocked(entries: Iterable[Entry]) -> set[str]:
    predicates = (entry.predicate for entry in entries)
    return {each.release for each in predicates if isinstance(each, RollbackPredicate) and not each.rehearsal}


def _migrations(release: Release, target: Release, *, accept: bool) -> tuple[str, ...]:
    if release.migration_head == target.migration_head:
        return ()
    heads = f"the database is at {release.migration_head or 'no migration'}, and release {target.short} expects "
    heads += target.migration_head or "none"
    if not accept:
        raise ConfigError(
            f"{heads}. A rollback does not undo migrations. If the earlier version works with the newer database, pass "
            "--accept-migrations. Nothing was changed."
        )
    return (f"{heads}: accepted",)


def _apps(promotion: Promotion, environment: Environment, release: Release) -> dict[str, App]:
    """Return service → app from the deploy files of the release. A compose file is used in its current version.

    A compose file refers to other files in its folder. The result is empty if the hook needs no deploy files.
    """
    today = environment.deployment
    if today is None or today.source == "compose" or not release.configs:
        return dict(apps_of(today))
    folder = configs_folder(promotion.rootdir, release)
    kept = promotion.project.deploy_files_in(folder)
    changed = [each for each in check_files(release, deploy_files(kept), what="kept file") if each.status != "same"]
    if changed:
        raise ConfigError(
            f"release {release.short}: its saved deploy files were changed: {changed[0].what} {changed[0].reason}. Restore "
            f"{folder.relative_to(promotion.rootdir)} from the machine that created the release. Nothing was changed."
        )
    return dict(apps_of(kept.deployment(environment.name, today.source)))
