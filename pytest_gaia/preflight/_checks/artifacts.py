"""Checks of images, and of how they replace running machines."""

import re
from collections.abc import Iterator
from typing import Any

from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.preflight._workflows.deploying import environments_of, is_immediate
from pytest_gaia.preflight.files import DeployFiles, standing
from pytest_gaia.preflight.findings import Found, check

STRATEGIES = ("rolling", "immediate", "canary", "bluegreen")

_BUILDS = ("dockerfile", "builder", "buildpacks", "builtin", "build-target")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_ROLLBACK = re.compile(
    r"roll(?:ed|s|ing)?[ -]?back|revert|downgrade|backwards?[ -]compatible|expand.and.contract", re.IGNORECASE
)


@check("rebuilt-image", "error")
def rebuilt_image(files: DeployFiles) -> Iterator[Found]:
    """An image is rebuilt for staging or production.

    The deployed image is not the tested one: a rebuild uses the current base image and dependencies.
    """
    for environment, app in files.apps("fly"):
        build = app.document.get("build", {})
        way = next((key for key in _BUILDS if build.get(key)), None)
        if way and files.is_protected(environment):
            what = f"{app.name} is built from {way} during deployment to {environment}"
            fix = "remove [build], and deploy the tested image: gaia deploy --image REFERENCE@sha256:…"
            yield Found(app.place("build", way), what, fix, environment)


@check("image-digest", "error")
def image_digest(files: DeployFiles) -> Iterator[Found]:
    """An image in staging or production is not pinned by digest.

    A tag can move: two machines that start on different days can run different programs.
    """
    for environment, app in files.apps("fly"):
        if app.image and files.is_protected(environment) and not _DIGEST.search(app.image):
            what = f"{app.name} runs {app.image}, which has no digest"
            yield Found(app.place("build", "image"), what, f"write {_name(app.image)}@sha256:…", environment)


@check("image-tag", "warning")
def image_tag(files: DeployFiles) -> Iterator[Found]:
    """An image has no tag, or the tag latest.

    The running version is unknown, and a rollback to the previous one is impossible.
    """
    for environment, app in files.apps():
        if app.image and not files.is_protected(environment) and _is_floating(app.image):
            place = app.place("build", "image") if "build.image" in app.places else standing(app, "image")
            what = f"{app.name} runs {app.image}"
            yield Found(place, what, f"write a version: {_name(app.image)}:…", environment)


def _is_floating(image: str) -> bool:
    if "@" in image or "$" in image:
        return False
    tag = image.rpartition("/")[2].partition(":")[2]
    return tag in ("", "latest")


def _name(image: str) -> str:
    """Return ``image`` without tag and digest."""
    path, _, last = image.partition("@")[0].rpartition("/")
    name = last.partition(":")[0]
    return f"{path}/{name}" if path else name


@check("unknown-strategy", "error")
def unknown_strategy(files: DeployFiles) -> Iterator[Found]:
    """A deployment strategy is not one of Fly's.

    The deployment fails after it has started.
    """
    for environment, app in files.apps("fly"):
        if app.strategy and app.strategy not in STRATEGIES:
            what = f'the strategy of {app.name} is "{app.strategy}"'
            yield Found(app.place("deploy", "strategy"), what, f"write one of {', '.join(STRATEGIES)}", environment)


@check("immediate-strategy", "error")
def immediate_strategy(files: DeployFiles) -> Iterator[Found]:
    """Staging or production replaces all machines at once.

    The strategy immediate does not wait for health checks: a broken image runs everywhere before it is detected.
    """
    for environment, app in files.apps("fly"):
        if app.strategy == "immediate" and files.is_protected(environment):
            what = f"the strategy of {app.name} is immediate"
            fix = 'write strategy = "rolling", or "bluegreen"'
            yield Found(app.place("deploy", "strategy"), what, fix, environment)
    for job in (job for workflow in files.workflows for job in workflow.jobs):
        for command in job.commands:
            concerned = sorted(filter(files.is_protected, environments_of(command, job)))
            if concerned and is_immediate(command):
                what = f"the job {job.name} deploys to {', '.join(concerned)} with the strategy immediate"
                yield Found(command.place, what, "remove --strategy, or write --strategy rolling", concerned[-1])


@check("strategy-volumes", "error")
def strategy_volumes(files: DeployFiles) -> Iterator[Found]:
    """A strategy that needs new machines is used with volumes.

    A volume belongs to one machine, so Fly rejects bluegreen and canary for apps that mount one.
    """
    for environment, app in files.apps("fly"):
        mounts = app.document.get("mounts") or app.document.get("mount")
        if mounts and app.strategy in ("bluegreen", "canary"):
            what = f"the strategy of {app.name} is {app.strategy}, but it mounts a volume"
            yield Found(app.place("deploy", "strategy"), what, 'write strategy = "rolling"', environment)


@check("process-groups", "error", refuses=True)
def unnamed_groups(files: DeployFiles) -> Iterator[Found]:
    """A table does not name its process group, or one that [processes] does not define.

    flyctl rejects a served port of an unknown group, and with [processes] also one that names none. With bluegreen and no
    [processes], it starts new machines and keeps the old ones.
    """
    for environment, app in files.apps("fly"):
        defined = app.document.get("processes")
        for step, table in _tables(app, "http_service", "services") if defined else ():
            if not _groups(table):
                what = f"a served port of {app.name} names no process group"
                yield Found(app.place(step), what, f'write processes = ["{app.groups[0]}"]', environment)
        for key, group in _named_groups(app):
            if group not in app.groups or (app.strategy == "bluegreen" and not defined):
                what = f'{app.name} has no process group "{group}" in [processes]'
                fix = f'write {group} = "COMMAND" in [processes]'
                is_passed_over = group in app.groups or not key[0].startswith(("http_service", "services"))
                yield Found(app.place(*key, "processes"), what, fix, environment, harmless=is_passed_over)


def _named_groups(app: App) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield (table, process group) of every table of ``app`` that names one."""
    checks = app.document.get("checks")
    for name, table in checks.items() if isinstance(checks, dict) else ():
        yield from ((("checks", name), group) for group in _groups(table))
    for step, table in _tables(app, "http_service", "services", "vm", "mounts"):
        yield from (((step,), group) for group in _groups(table))


def _tables(app: App, *keys: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (key, table) of every table of ``app`` under one of ``keys``."""
    for key in keys:
        given = app.document.get(key)
        for number, table in enumerate(given if isinstance(given, list) else [given]):
            if isinstance(table, dict) and table:
                yield (f"{key}[{number}]" if isinstance(given, list) else key), table


def _groups(table: Any) -> list[str]:
    groups = table.get("processes") if isinstance(table, dict) else None
    groups = [groups] if isinstance(groups, str) else groups
    return [str(group) for group in groups] if isinstance(groups, list) else []


@check("release-command", "warning")
def release_command(files: DeployFiles) -> Iterator[Found]:
    """A release command has no comment about rollback.

    It changes the database before the new version runs. After a rollback, the old version uses the changed database.
    """
    for environment, app in files.apps("fly"):
        place = app.place("deploy", "release_command")
        if app.release_command and not _ROLLBACK.search(_comments_at(app, place.line)):
            what = f"the release command of {app.name} has no comment about rollback"
            fix = "write a comment above it: # rollback: …, or # backward compatible: …"
            yield Found(place, what, fix, environment)


def _comments_at(app: App, line: int) -> str:
    """Return the comments on ``line`` and directly above it."""
    found = [app.comments.get(line, "")]
    above = line - 1
    while above in app.comments:
        found.append(app.comments[above])
        above -= 1
    return "\n".join(found)
