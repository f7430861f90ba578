"""Find jobs that can deploy to production without the success of staging."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Literal, NamedTuple

from pytest_gaia.preflight._workflows.conditions import EITHER, NO, YES, Value, outcomes
from pytest_gaia.preflight._workflows.deploying import deployed_by, deploys, environments_of, tests, with_role
from pytest_gaia.preflight._workflows.model import Command, Job, Workflow

_UNSUCCESSFUL = ("failure", "cancelled", "skipped")
_RESULTS = frozenset({"success", *_UNSUCCESSFUL})
_MOST_GUARDS = 16
"""jobs of staging beyond which they are taken together"""
_TESTING = re.compile(
    r"(?<![a-z])(?:tests?|testing|checks?|smoke|e2e|verify|verification|validate|acceptance|cypress|playwright|newman|k6)(?![a-z])",
    re.IGNORECASE,
)
"""words of a step or job that tests something, by whatever tool"""


class Gap(NamedTuple):
    """A way to production that does not need the success of staging."""

    kind: Literal["missing", "result", "workflow", "matrix", "step", "optional"]
    staging: str = ""
    """the job or workflow of staging that counts for nothing"""
    results: tuple[str, ...] = ()
    """how it may have ended"""


def gaps(workflow: Workflow, others: Iterable[Workflow]) -> Iterator[tuple[Job, Gap | None]]:
    """Yield each job that deploys to production by itself, and how it can do so without the success of staging."""
    upstream = next(
        (each for each in others if each.name in workflow.after and any(map(_is_of_staging, each.jobs))), None
    )
    runs = {event: _Runs(workflow, event) for event in workflow.events}
    for job in workflow.jobs:
        if with_role("production", deployed_by(job), job) and not job.by_hand:
            found = (_gap_on(each, job, upstream) for each in runs.values() if each.start(job))
            yield job, next((each for each in found if each), None)


def is_tested(workflow: Workflow, job: Job, others: Iterable[Workflow]) -> bool:
    """Whether something is tested between a deployment to staging and ``job``, or before it in ``job`` itself.

    Where nothing of staging is deployed before ``job``, nothing is missing.
    """
    # What production's job does from its deployment on comes too late.
    first = next(
        number
        for number, each in enumerate(job.commands)
        if deploys(each) and with_role("production", environments_of(each, job), job)
    )
    last = 1 if with_role("staging", environments_of(job.commands[first], job), job) else 0
    own = replace(job, commands=job.commands[: first + last])
    chains = [(*workflow.before(job), own), *(each.jobs for each in others if each.name in workflow.after)]
    staged = [(each, chain) for chain in chains for each in chain if with_role("staging", deployed_by(each), each)]
    return not staged or any(_is_tested_in(each, chain) for each, chain in staged)


def _is_tested_in(staged: Job, chain: Sequence[Job]) -> bool:
    places = [number for number, each in enumerate(staged.commands) if deploys(each)]
    after = staged.commands[places[0] :]
    if any(tests(each) for each in after) or any(_is_testing(each) for each in after[1:]):
        return True
    later = [each for each in chain if staged.name in _needed(each, chain)]
    return any(_TESTING.search(each.name) or any(map(_is_testing, each.commands)) for each in later)


def _needed(job: Job, chain: Sequence[Job]) -> set[str]:
    """Return the names of the jobs of ``chain`` that must have ended before ``job``."""
    jobs, found, waiting = {each.name: each for each in chain}, set[str](), list(job.needs)
    while waiting:
        name = waiting.pop()
        if name in jobs and name not in found:
            found.add(name)
            waiting += jobs[name].needs
    return found


def _is_testing(command: Command) -> bool:
    return tests(command) or bool(_TESTING.search(command.text) or _TESTING.search(command.step))


def _gap_on(runs: _Runs, job: Job, upstream: Workflow | None) -> Gap | None:
    guards = [each.name for each in runs.workflow.before(job) if each.name in runs.staging]
    if guards:
        return _gap_in_results(runs, job, guards)
    inside = _gap_inside(job)
    if inside is None or inside.kind != "missing":
        return inside
    if upstream is not None and runs.event == "workflow_run":
        passed = tuple(each for each in _UNSUCCESSFUL if runs.start(job, upstream=each))
        return Gap("workflow", upstream.name, passed) if passed else None
    passed_by = [each for each in runs.workflow.jobs if each.name in job.passes]
    optional = next((each.name for each in passed_by if with_role("staging", deployed_by(each), each)), None)
    return Gap("optional", optional) if optional else inside


def _gap_in_results(runs: _Runs, job: Job, guards: Sequence[str]) -> Gap | None:
    each_alone = [(name,) for name in guards]
    for names in each_alone if len(guards) <= _MOST_GUARDS else [runs.staging]:
        passed = tuple(each for each in _UNSUCCESSFUL if runs.start(job, names, each))
        if passed:
            return Gap("result", guards[0] if names == runs.staging else names[0], passed)
    return None


def _gap_inside(job: Job) -> Gap | None:
    """Look at the steps of ``job`` alone: does each one of production come after one of staging, and need its success?"""
    deployments = [each for each in job.commands if deploys(each) and not each.on_failure]
    of_staging = [each for each in deployments if with_role("staging", environments_of(each, job), job)]
    if not of_staging:
        return Gap("missing")
    for each in (each for each in deployments if with_role("production", environments_of(each, job), job)):
        earlier = [other for other in of_staging if other.leg == each.leg and other.place.line <= each.place.line]
        if not earlier:
            return Gap("matrix" if each.leg else "step")
        if not any(_is_needed(other, each) for other in earlier):
            return Gap("step")
    return None


def _is_needed(staging: Command, production: Command) -> bool:
    """Whether the step of ``production`` runs only if the one of ``staging`` has run, and well."""
    if staging.step_id == production.step_id:
        return True
    if staging.condition not in ("", production.condition):
        return False
    known: dict[str, Value] = {"success()": NO, "failure()": YES, "cancelled()": EITHER}
    ended: Value = frozenset({"failure", "cancelled"})
    known |= {f"steps.{staging.step_id}.{key}".lower(): ended for key in ("outcome", "conclusion")}
    return True not in outcomes(production.condition, known)


def _is_of_staging(job: Job) -> bool:
    """Whether ``job`` concerns staging: it deploys to staging, tests it, or names it as its environment."""
    tested = (name for each in job.commands if tests(each) for name in environments_of(each, job))
    concerned = {*deployed_by(job), *job.known.in_text(job.environment or ""), *tested}
    return bool(with_role("staging", concerned, job))


class _Runs:
    """What can start in runs of one workflow by one event. What is not known can be anything."""

    def __init__(self, workflow: Workflow, event: str | None) -> None:
        self.workflow = workflow
        self.event = event
        self.staging = tuple(each.name for each in workflow.jobs if _is_of_staging(each))
        self._jobs = {each.name: each for each in workflow.jobs}
        self._started: dict[tuple[tuple[str, ...], str, str | None], set[str]] = {}
        try:
            graph = {each.name: each.needs for each in workflow.jobs}
            self._order = [name for name in TopologicalSorter(graph).static_order() if name in self._jobs]
        except CycleError:
            # GitHub and GitLab refuse the file.
            self._order = []

    def start(self, job: Job, ended: tuple[str, ...] = (), result: str = "", upstream: str | None = None) -> bool:
        """Whether ``job`` can start where jobs have ``ended`` with ``result``, and the workflow before with ``upstream``."""
        key = ended, result, upstream
        if key not in self._started:
            self._started[key] = self._run(ended, result, upstream)
        return job.name in self._started[key]

    def _run(self, ended: tuple[str, ...], result: str, upstream: str | None) -> set[str]:
        known: dict[str, Value] = {
            "github.event_name": frozenset({self.event}) if self.event else None,
            "github.event.workflow_run.conclusion": _conclusions(self.event, upstream),
        }
        started, results, before = set(), dict[str, frozenset[str]](), dict[str, frozenset[frozenset[str]]]()
        for job in (self._jobs[name] for name in self._order):
            needs = [name for name in job.needs if name in results]
            before[job.name] = frozenset(results[name] for name in needs).union(*(before[name] for name in needs))
            seen = known | _status(before[job.name])
            seen |= {
                f"needs.{name}.result".lower(): frozenset[str | float | bool | None](results[name]) for name in needs
            }
            possible = outcomes(job.condition, seen)
            if True in possible:
                started.add(job.name)
            results[job.name] = frozenset({result}) if job.name in ended else _ends(possible)
        return started


def _conclusions(event: str | None, upstream: str | None) -> Value:
    if event != "workflow_run":
        return frozenset({None})
    return frozenset({upstream} if upstream else _RESULTS)


def _ends(starts: frozenset[bool]) -> frozenset[str]:
    ran = _RESULTS - {"skipped"} if True in starts else frozenset[str]()
    return ran | ({"skipped"} if False in starts else frozenset())


def _status(before: frozenset[frozenset[str]]) -> dict[str, Value]:
    """Return what a condition sees of all jobs before, direct needs aside; a job that is not needed has no result."""
    all_well = all("success" in each for each in before)
    return {
        "needs.*.result": frozenset({None}),
        "success()": (YES if all(each == {"success"} for each in before) else EITHER) if all_well else NO,
        "failure()": YES if {"failure"} in before else EITHER if any("failure" in each for each in before) else NO,
        "cancelled()": EITHER if any("cancelled" in each for each in before) else NO,
    }
