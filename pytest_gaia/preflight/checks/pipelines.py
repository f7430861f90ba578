"""Checks of what CI does with the deploy files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_gaia.preflight.credentials import secret_shape
from pytest_gaia.preflight.files import PRODUCTION, STAGING, beyond_dev
from pytest_gaia.preflight.findings import Found, check
from pytest_gaia.preflight.workflows.deploying import (
    deployed_by,
    deploys,
    deploys_by_building,
    environments_of,
    rolls_back,
    tests,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gaia.preflight.files import DeployFiles
    from pytest_gaia.preflight.workflows.model import Command, Job, Workflow

_SLEEP = re.compile(r"(?:^|[\s;&|(])sleep\s+[\"']?(?:\d|\$)")
_IMAGE = re.compile(r"(?:^|\s)(?:--image|-i)[=\s]|\bimage:|image=")
_BUILD = re.compile(
    r"\bdocker\s+(?:buildx\s+)?build\b|\bdocker\s+compose\s+build\b|\bdocker/build-push-action@|--rebuild\b"
)
_CONFIG = re.compile(r"(?:--config|-c)[=\s]+[\"']?(?P<file>[^\s\"']+)")
_OTHERWISE = re.compile(r"\|\|.*\broll[-_ ]?back", re.IGNORECASE)


@check(
    "unguarded-production",
    "error",
    "A job deploys to production without needing staging's",
    "Production gets what staging has refused, or has not seen at all.",
)
def unguarded_production(files: DeployFiles) -> Iterator[Found]:
    """Find jobs that deploy to production, and do not wait for the success of a job that deploys to staging."""
    for workflow, job in _jobs(files):
        if PRODUCTION not in deployed_by(job) or job.by_hand:
            continue
        if not _is_guarded(workflow, job, files):
            what = f"the job {job.name} deploys to production, and needs no job that deploys to staging"
            yield Found(job.place, what, "write needs: with the job that deploys to and tests staging", PRODUCTION)
        elif job.regardless:
            what = f"the job {job.name} deploys to production whatever became of the jobs that it needs"
            yield Found(job.place, what, "remove the condition that is always true", PRODUCTION)


def _is_guarded(workflow: Workflow, job: Job, files: DeployFiles) -> bool:
    before = [*workflow.before(job), job]
    for other in files.workflows:
        if other.name in workflow.after:
            before += other.jobs
    return any(STAGING in deployed_by(each) for each in before)


@check(
    "sleep-as-readiness",
    "error",
    "CI sleeps instead of asking whether a deployment is ready",
    "A fixed time is too short on a cold start, and too long on every other day; in both cases it proves nothing.",
)
def sleep_as_readiness(files: DeployFiles) -> Iterator[Found]:
    """Find ``sleep`` outside of loops, in jobs that deploy or come after one that does."""
    for workflow, job in _jobs(files):
        if not any(deploys(command) for each in (job, *workflow.before(job)) for command in each.commands):
            continue
        for command in job.commands:
            if _SLEEP.search(command.text) and not command.in_loop:
                mend = (
                    "remove it: gaia deploy and pytest --gaia-deploy wait until every member answers, with a deadline"
                )
                yield Found(command.place, f"the job {job.name} sleeps: {_short(command)}", mend, _single(command, job))


@check(
    "automatic-rollback",
    "error",
    "Production is rolled back by itself when something fails",
    "A flaky test then undoes a good release, and a release that changed the database is undone without a look at it.",
)
def automatic_rollback(files: DeployFiles) -> Iterator[Found]:
    """Find commands that roll production back, or deploy to it, because something failed."""
    for _, job in _jobs(files):
        for command in job.commands:
            automatic = command.on_failure and (rolls_back(command) or deploys(command))
            concerned = environments_of(command, job)
            if (automatic or _OTHERWISE.search(command.text)) and (not concerned or PRODUCTION in concerned):
                what = f"the job {job.name} runs this when something has failed: {_short(command)}"
                mend = (
                    "make it a workflow of its own that a person starts: gaia rollback production --confirm production"
                )
                yield Found(command.place, what, mend, PRODUCTION)


@check(
    "rebuilt-per-environment",
    "error",
    "CI builds an image again for staging or production",
    "What was tested is not what is deployed: a rebuild takes today's base image and today's dependencies.",
)
def rebuilt_per_environment(files: DeployFiles) -> Iterator[Found]:
    """Find builds in jobs of staging and production, and ``fly deploy``, or the old scripts, without an image."""
    for _, job in _jobs(files):
        for command in job.commands:
            concerned = sorted(each for each in environments_of(command, job) if beyond_dev(each))
            if concerned and not command.on_failure and _builds(command, files):
                what = f"the job {job.name} builds for {', '.join(concerned)}: {_short(command)}"
                mend = "build once, and deploy that image everywhere: --image REFERENCE@sha256:…"
                yield Found(command.place, what, mend, concerned[-1])


def _builds(command: Command, files: DeployFiles) -> bool:
    if _BUILD.search(command.text):
        return True
    if not deploys_by_building(command) or _IMAGE.search(command.text):
        return False
    config = _CONFIG.search(command.text)
    named = config["file"].rpartition("/")[2] if config else ""
    return not any(app.path.name == named and app.image for _, app in files.apps("fly"))


@check(
    "ignored-failure",
    "error",
    "CI goes on although a deployment or its tests have failed",
    "The job is green whatever happened, and what needs it runs.",
)
def ignored_failure(files: DeployFiles) -> Iterator[Found]:
    """Find deployments and tests whose exit code does not count."""
    for _, job in _jobs(files):
        for command in job.commands:
            if command.is_ignored and (deploys(command) or tests(command)):
                what = f"the job {job.name} goes on when this fails: {_short(command)}"
                mend = "let it fail; list what is known to fail in rules, which name the test and the reason"
                yield Found(command.place, what, mend, _single(command, job))


@check(
    "unprotected-production",
    "warning",
    "A job deploys to production without naming the environment to CI",
    "Approvals, and secrets that only production may see, belong to the environment that a job names.",
)
def unprotected_production(files: DeployFiles) -> Iterator[Found]:
    """Find jobs that deploy to production without ``environment:``."""
    for _, job in _jobs(files):
        if PRODUCTION in deployed_by(job) and not job.environment:
            what = f"the job {job.name} names no environment"
            yield Found(job.place, what, "write environment: production", PRODUCTION)


@check(
    "parallel-deployments",
    "warning",
    "Two runs can deploy to one environment at once",
    "Each then tests what the other has half deployed.",
)
def parallel_deployments(files: DeployFiles) -> Iterator[Found]:
    """Find jobs that deploy beyond dev, and that another run does not wait for."""
    for workflow, job in _jobs(files):
        concerned = sorted(filter(beyond_dev, deployed_by(job)))
        if concerned and not job.alone:
            key = "resource_group" if workflow.file.endswith(".gitlab-ci.yml") else "concurrency"
            what = f"the job {job.name} deploys to {', '.join(concerned)}, and has no {key}"
            yield Found(job.place, what, f"write {key}: {concerned[-1]}", concerned[-1])


def _jobs(files: DeployFiles) -> Iterator[tuple[Workflow, Job]]:
    return ((workflow, job) for workflow in files.workflows for job in workflow.jobs)


def _single(command: Command, job: Job) -> str | None:
    concerned = environments_of(command, job)
    return next(iter(concerned)) if len(concerned) == 1 else None


def _short(command: Command) -> str:
    """Return the command, shortened; nothing of one that holds a credential."""
    if secret_shape(command.text):
        return "(it holds a credential)"
    longest = 60
    return command.text if len(command.text) <= longest else f"{command.text[:longest]}…"
