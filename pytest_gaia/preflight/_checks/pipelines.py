"""Checks of how CI deploys."""

import re
from collections.abc import Iterator

from pytest_gaia.preflight._workflows.conditions import is_always_true_text
from pytest_gaia.preflight._workflows.deploying import (
    Gap,
    deployed_by,
    deploys,
    deploys_by_building,
    environments_of,
    gaps,
    is_detached,
    is_only_message,
    is_tested,
    lost_programs,
    program_rolls_back,
    rolls_back,
    with_role,
)
from pytest_gaia.preflight._workflows.model import GITHUB_FOLDER, GITLAB_FILE, Command, Job, Workflow
from pytest_gaia.preflight.files import DeployFiles
from pytest_gaia.preflight.findings import Found, check
from pytest_gaia.secrets.names import is_secret_name
from pytest_gaia.secrets.shapes import secret_shape

_SLEEP = re.compile(r"(?:^|[\s;&|(])sleep\s+[\"']?(?:\d|\$)")
_IMAGE = re.compile(r"(?:^|\s)(?:--image|-i)[=\s]|\bimage:|image=")
_BUILD = re.compile(
    r"\bdocker\s+(?:buildx\s+)?build\b|\bdocker\s+compose\s+build\b|\bdocker/build-push-action@|--rebuild\b"
)
_PIPED = re.compile(r"(?<!\|)\|(?!\|)[^|]*$")
_ASSIGNED = re.compile(r"\b(?P<name>[A-Za-z_]\w*)=(?:'[^']*'|\"[^\"]*\"|[^\s'\"]+)")
_APPROVES = re.compile(r"approv|confirm|sign[-_ ]?off|\bgate\b|go[-_ ]?live|\bhold\b|release|promot", re.IGNORECASE)
_CONFIG = re.compile(r"(?:--config|-c)[=\s]+[\"']?(?P<file>[^\s\"']+)")


@check("unguarded-production", "error")
def unguarded_production(files: DeployFiles) -> Iterator[Found]:
    """A job deploys to production without requiring a job for staging.

    A release reaches production although it failed in staging, or never ran there.
    """
    for workflow in files.workflows:
        for job, found in gaps(workflow, files.workflows):
            if found is not None:
                what, fix = _in_words(found, workflow, job, files)
                yield Found(job.place, f"the job {job.name} {what}", fix, _production_of(job))


_ENDS = {"failure": "failed", "cancelled": "was cancelled", "skipped": "was skipped"}


def _in_words(found: Gap, workflow: Workflow, job: Job, files: DeployFiles) -> tuple[str, str]:
    """Return what ``found`` means, and how to fix it."""
    ends = " or ".join(_ENDS[each] for each in found.results)
    own_job = "deploy to production in a separate job that needs the job for staging"
    if found.kind == "result":
        return f"can deploy to production although {found.staging} {ends}", _closing(found.staging, workflow, job)
    if found.kind == "workflow":
        condition = "github.event.workflow_run.conclusion == 'success'"
        fix = (
            f"add && {condition} to its if:, with the rest in parentheses"
            if job.condition
            else f"write if: {condition}"
        )
        return f"deploys to production although the workflow {found.staging} {ends}", fix
    if found.kind == "matrix":
        return "deploys to staging and to production at the same time, with a matrix", own_job
    if found.kind == "step":
        return "has a step that deploys to production before any step deploys to staging", own_job
    if found.kind == "optional":
        what = f"deploys to production without waiting for the manual job {found.staging}"
        return what, f"write allow_failure: false in {found.staging}"
    return "deploys to production, but needs no job that deploys to staging", _needing(workflow, files)


def _closing(staging: str, workflow: Workflow, job: Job) -> str:
    if workflow.file.endswith(GITLAB_FILE):
        return "remove when: always"
    if is_always_true_text(job.condition):
        return "write the whole condition of its if: inside one ${{ }}, or without it; other text makes it always true"
    needed = "" if staging in job.needs else f"add {staging} to its needs:, and "
    return f"{needed}add && needs.{staging}.result == 'success' to its if:, with the rest in parentheses"


def _needing(workflow: Workflow, files: DeployFiles) -> str:
    """Return the fix for a job that needs no job of staging."""
    own = next((each.name for each in workflow.jobs if with_role("staging", deployed_by(each), each)), None)
    if own:
        return f"add {own} to its needs:"
    theirs = (
        other for other in files.workflows if any(with_role("staging", deployed_by(each), each) for each in other.jobs)
    )
    other = next((each for each in theirs if each.file.startswith(GITHUB_FOLDER)), None)
    if other:
        condition = "if: github.event.workflow_run.conclusion == 'success'"
        return f'start it with workflow_run of the workflow "{other.name}", with {condition}'
    return "add a job that deploys to staging and tests it, and name it in needs:"


@check("untested-staging", "error")
def untested_staging(files: DeployFiles) -> Iterator[Found]:
    """A job deploys to production without tests in staging.

    A successful deployment to staging does not show that the release works.
    """
    for workflow in files.workflows:
        for job, found in gaps(workflow, files.workflows):
            if found is None and not is_tested(workflow, job, files.workflows):
                what = f"no job tests staging before the job {job.name} deploys to production"
                fix = "test staging before: gaia deploy staging --test, or pytest --gaia-env=staging"
                yield Found(job.place, what, fix, _production_of(job))


@check("sleep-as-readiness", "error")
def sleep_as_readiness(files: DeployFiles) -> Iterator[Found]:
    """CI sleeps instead of waiting until a deployment is ready.

    A fixed time is too short for a cold start and too long otherwise. It proves nothing in either case.
    """
    for workflow, job in _jobs(files):
        if not any(deploys(command) for each in (job, *workflow.before(job)) for command in each.commands):
            continue
        for command in job.commands:
            if _SLEEP.search(command.text) and not command.in_loop:
                fix = (
                    "remove it; gaia deploy and pytest --gaia-deploy wait until every service responds, with a deadline"
                )
                yield Found(command.place, f"the job {job.name} sleeps: {_short(command)}", fix, _single(command, job))


@check("automatic-rollback", "error")
def automatic_rollback(files: DeployFiles) -> Iterator[Found]:
    """A failure rolls back production automatically.

    A flaky test then rolls back a good release, even one that changed the database.
    """
    for _, job in _jobs(files):
        for command in job.commands:
            automatic = command.on_failure and (rolls_back(command) or deploys(command))
            otherwise = any(map(program_rolls_back, command.otherwise))
            concerned = environments_of(command, job)
            production = with_role("production", concerned, job)
            if (automatic or otherwise) and (production or not concerned):
                name = production[0] if production else "production"
                what = f"the job {job.name} runs this after a failure: {_short(command)}"
                fix = f"move it to a manual workflow: gaia rollback {name} --confirm {name}"
                yield Found(command.place, what, fix, name)


@check("rebuilt-per-environment", "error")
def rebuilt_per_environment(files: DeployFiles) -> Iterator[Found]:
    """CI rebuilds an image for staging or production.

    The deployed image is not the tested one: a rebuild uses the current base image and dependencies.
    """
    for _, job in _jobs(files):
        for command in job.commands:
            concerned = sorted(each for each in environments_of(command, job) if files.is_protected(each))
            if concerned and not command.on_failure and _builds(command, files):
                what = f"the job {job.name} builds for {', '.join(concerned)}: {_short(command)}"
                fix = "build once, and deploy the same image everywhere: --image REFERENCE@sha256:…"
                yield Found(command.place, what, fix, concerned[-1])


def _builds(command: Command, files: DeployFiles) -> bool:
    if _BUILD.search(command.text):
        return True
    if not deploys_by_building(command) or _IMAGE.search(command.text):
        return False
    config = _CONFIG.search(command.text)
    named = config["file"].rpartition("/")[2] if config else ""
    return not any(app.path.name == named and app.image for _, app in files.apps("fly"))


@check("ignored-failure", "error")
def ignored_failure(files: DeployFiles) -> Iterator[Found]:
    """CI continues after a deployment or its tests fail.

    The job is green regardless of the failure, and jobs that need it run.
    """
    for _, job in _jobs(files):
        for command in job.commands:
            if lost_programs(command):
                what = f"the job {job.name} continues when this fails: {_short(command)}"
                fix = "let it fail; declare known failures in expectation files"
                if _PIPED.search(command.text):
                    fix = "write shell: bash for the step, or set -o pipefail before it; otherwise only the last program counts"
                yield Found(command.place, what, fix, _single(command, job))
            elif is_detached(command):
                what = f"the job {job.name} does not wait for this to end: {_short(command)}"
                fix = "remove --detach; the exit code then shows whether the machines are healthy"
                yield Found(command.place, what, fix, _single(command, job))


@check("unprotected-production", "warning")
def unprotected_production(files: DeployFiles) -> Iterator[Found]:
    """A job deploys to production without an environment in CI.

    Approvals and secrets of production apply only to jobs that name the environment.
    """
    for _, job in _jobs(files):
        production = _production_of(job)
        if production and not job.environment:
            what = f"the job {job.name} has no environment"
            yield Found(job.place, what, f"write environment: {production}", production)


@check("parallel-deployments", "warning")
def parallel_deployments(files: DeployFiles) -> Iterator[Found]:
    """Two runs can deploy to one environment at the same time.

    Each run then tests an incomplete deployment of the other.
    """
    for workflow, job in _jobs(files):
        concerned = sorted(filter(files.is_protected, deployed_by(job)))
        if concerned and not job.alone:
            key = "resource_group" if workflow.file.endswith(".gitlab-ci.yml") else "concurrency"
            what = f"the job {job.name} deploys to {', '.join(concerned)}, but has no {key}"
            yield Found(job.place, what, f"write {key}: {concerned[-1]}", concerned[-1])


@check("cancelled-deployment", "error")
def cancelled_deployment(files: DeployFiles) -> Iterator[Found]:
    """A newer run cancels a running deployment.

    The deployment stops halfway: some machines run the new version, others the old one.
    """
    for workflow, job in _jobs(files):
        concerned = sorted(filter(files.is_protected, deployed_by(job)))
        if concerned and job.is_cancelled:
            key = "interruptible" if workflow.file.endswith(GITLAB_FILE) else "cancel-in-progress"
            what = f"the job {job.name} deploys to {', '.join(concerned)}, and a newer run cancels it"
            yield Found(job.place, what, f"write {key}: false", concerned[-1])


@check("optional-approval", "error")
def optional_approval(files: DeployFiles) -> Iterator[Found]:
    """A manual job in GitLab does not block production.

    Without rules a manual job is optional: later stages start when the other jobs end, with or without approval.
    """
    for workflow, job in _jobs(files):
        production = _production_of(job)
        if production is None or job.by_hand:
            continue
        for approval in (each for each in workflow.jobs if each.name in job.passes and _is_approval(each)):
            what = f"the job {job.name} deploys to production without waiting for {approval.name}"
            own = f"write allow_failure: false in {approval.name}"
            fix = f"{own}, and add it to needs: of {job.name} if that has any"
            yield Found(approval.place, what, fix, production)


def _is_approval(job: Job) -> bool:
    does = any(deploys(each) for each in job.commands)
    return not does and (bool(_APPROVES.search(job.name)) or all(map(is_only_message, job.commands)))


def _jobs(files: DeployFiles) -> Iterator[tuple[Workflow, Job]]:
    return ((workflow, job) for workflow in files.workflows for job in workflow.jobs)


def _production_of(job: Job) -> str | None:
    """Return the production environment that ``job`` deploys to; None for none."""
    return next(iter(with_role("production", deployed_by(job), job)), None)


def _single(command: Command, job: Job) -> str | None:
    concerned = environments_of(command, job)
    return next(iter(concerned)) if len(concerned) == 1 else None


def _short(command: Command) -> str:
    """Return the command, shortened; a placeholder if it contains a credential."""
    given = {found["name"] for found in _ASSIGNED.finditer(command.text)}
    if secret_shape(command.text) or any(map(is_secret_name, given)) or "secrets set" in command.text:
        return "(hidden: contains a credential)"
    longest = 60
    return command.text if len(command.text) <= longest else f"{command.text[:longest]}…"
