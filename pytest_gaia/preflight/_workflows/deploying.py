"""What the commands of a CI file deploy, test and roll back, and which jobs reach production without the success of staging."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Literal, NamedTuple

from pytest_gaia.preflight._workflows.conditions import EITHER, NO, YES, Value, outcomes
from pytest_gaia.preflight._workflows.model import Command, Job, Workflow
from pytest_gaia.preflight._workflows.scripts import is_message
from pytest_gaia.preflight._workflows.shell import TooDeep, parse, read, simples

_TOOL = r"(?:^|[\s;&|(`/])"
_GAIA = r"(?:gaia|ci/gate)"
_DEPLOYS = re.compile(
    rf"{_TOOL}(?:fly|flyctl)\s+(?:[^|;&]*\s)?deploy\b|{_TOOL}{_GAIA}\s+deploy(?:-and-test)?\b|"
    rf"{_TOOL}{_GAIA}\s+promote\b(?!.*\s--(?:plan|shard)\b)|{_TOOL}deploy\.sh\b|"
    rf"{_TOOL}manage\.sh\s+deploy|--gaia-deploy\b|uses superfly/flyctl-actions[^ ]*@\S+ .*\bargs=[^=]*\bdeploy\b",
    re.IGNORECASE,
)
_BY_BUILDING = re.compile(
    rf"{_TOOL}(?:fly|flyctl)\s+(?:[^|;&]*\s)?deploy\b|\bflyctl-actions|{_TOOL}deploy\.sh\b|{_TOOL}manage\.sh\s+deploy",
    re.IGNORECASE,
)
_TESTS = re.compile(
    rf"{_TOOL}(?:pytest|{_GAIA}\s+(?:test|legacy|quick-test|full-test|deploy-and-test|promote))\b|"
    rf"{_TOOL}{_GAIA}\s+deploy\s(?:.*\s)?--test\b|"
    rf"{_TOOL}manage\.sh\s+(?:deploy-and-)?test\b",
    re.IGNORECASE,
)
_ROLLS_BACK = re.compile(r"\broll[-_ ]?back", re.IGNORECASE)
_DETACHED = re.compile(r"\s--detach\b(?!=false)")
_IMMEDIATE = re.compile(r"\s--strategy[=\s]+[\"']?immediate\b")
_SETS_SECRETS = re.compile(
    rf"(?:{_TOOL}(?:fly|flyctl)\s(?:.*\s)?|\bflyctl-actions.*\bargs=)secrets\s+set\s(?P<rest>.*)", re.DOTALL
)
_ASSIGNED = re.compile(r"(?:^|\s)(?P<name>[A-Za-z_]\w*)=(?P<value>'[^']*'|\"[^\"]*\"|\S+)")
_ONLY_PREPARES = re.compile(r"\s--(?:build-only|dry-run|help)\b(?!=false)")
"""options with which a tool deploys nothing"""
_INSTALLS = re.compile(
    r"(?:\S*/)?(?:pip3?|pipx|uv|poetry|conda|npm|brew|apt|apt-get|python3?|sudo)\s(?:.*\s)?(?:install|add)\s"
)
_NOTICE = re.compile(r"notif|notice|announc|report|comment|message|alert|remind|instruction|hint", re.IGNORECASE)
_PREPARES = re.compile(
    r"(?:exit|set|cd|export|\[|\[\[|test|sleep|curl|uses actions/(?:checkout|setup-|github-script))(?:\s|$|(?<=-))"
)
"""programs that roll nothing back by themselves, whatever their step is called"""
_MENTIONS = re.compile(r"(?:gh\s+(?:issue|pr|release)|git\s+(?:commit|tag|log|branch|checkout))\b")
_ACTION_COMMANDS = re.compile(r"\b(?:args|command|cmd|run|script|workflow\w*)=(\S+(?:\s+[^\s=]+(?=\s|$))*)")
_GIVEN_TO_SHELL = re.compile(
    r"(?:sudo\s+)?(?:(?:ba|z)?sh\s+-\w*c|ssh\s+\S+|eval)\s+(?P<script>'[^']*'|\"[^\"]*\")", re.DOTALL
)
_QUOTED = re.compile(r"'[^']*\s[^']*'|\"[^\"]*\s[^\"]*\"")

_UNSUCCESSFUL = ("failure", "cancelled", "skipped")
_RESULTS = frozenset({"success", *_UNSUCCESSFUL})
_MOST_GUARDS = 16
"""jobs of staging beyond which they are taken together"""
_TESTING = re.compile(
    r"(?<![a-z])(?:tests?|testing|checks?|smoke|e2e|verify|verification|validate|acceptance|cypress|playwright|newman|k6)(?![a-z])",
    re.IGNORECASE,
)
"""words of a step or job that tests something, by whatever tool"""


def deploys(command: Command) -> bool:
    """Whether ``command`` deploys something."""
    return any(map(program_deploys, _programs(command.text)))


def program_deploys(program: str) -> bool:
    """Whether one program, or action, deploys something."""
    text = _without_quotes(program)
    return bool(_DEPLOYS.search(text)) and not _ROLLS_BACK.search(text) and not _ONLY_PREPARES.search(text)


def deploys_by_building(command: Command) -> bool:
    """Whether it is a tool that builds an image unless it is given one: flyctl, or the platform's old scripts."""
    return any(program_deploys(each) and _BY_BUILDING.search(each) for each in _programs(command.text))


def tests(command: Command) -> bool:
    """Whether it runs tests."""
    return any(map(program_tests, _programs(command.text)))


def program_tests(program: str) -> bool:
    """Whether one program runs tests."""
    return bool(_TESTS.search(_without_quotes(program))) and not _INSTALLS.search(program)


def is_only_message(command: Command) -> bool:
    """Whether ``command`` does nothing but print."""
    return not any(each.split()[0] != "exit" for each in _programs(command.text))


def is_detached(command: Command) -> bool:
    """Whether it deploys something without waiting for the end of it."""
    return any(program_deploys(each) and _DETACHED.search(each) for each in _programs(command.text))


def is_immediate(command: Command) -> bool:
    """Whether it deploys something by replacing all machines at once."""
    return any(program_deploys(each) and _IMMEDIATE.search(each) for each in _programs(command.text))


def secrets_set(command: Command) -> Iterator[tuple[str, str]]:
    """Yield name and value of each secret that is set on Fly, as the command writes them, quotes removed."""
    for program in _programs(command.text):
        found = _SETS_SECRETS.search(program)
        for match in _ASSIGNED.finditer(found["rest"]) if found else ():
            value = match["value"]
            quoted = value[:1] in ("'", '"') and value[-1:] == value[:1]
            # What a shell puts in is not written here.
            if value[:1] == "'" or not re.search(r"[$`]", value):
                yield match["name"], value[1:-1] if quoted else value


def lost_programs(command: Command) -> list[str]:
    """Return the deployments and tests in ``command`` whose failure goes unnoticed."""
    programs = (each for text in command.lost for each in _programs(text))
    return [each for each in programs if program_deploys(each) or program_tests(each)]


def rolls_back(command: Command) -> bool:
    """Whether ``command`` rolls back: by itself, or because its step is named so and it does more than print."""
    programs = _programs(command.text)
    if any(map(program_rolls_back, programs)):
        return True
    is_named = _ROLLS_BACK.search(command.step) and not _NOTICE.search(command.step)
    return bool(is_named) and any(not _PREPARES.match(each) for each in programs)


def program_rolls_back(program: str) -> bool:
    """Whether one program, or action, rolls back; of the inputs of an action only those that are commands count."""
    text = _without_quotes(program)
    if text.startswith("uses "):
        text = " ".join([text.split()[1] if text.split()[1:] else "", *_ACTION_COMMANDS.findall(text)])
    return bool(_ROLLS_BACK.search(text)) and not _MENTIONS.match(text)


@lru_cache(1024)
def _programs(text: str) -> tuple[str, ...]:
    """Return the programs that a command runs, those that only print left out, and those that a shell is given to run."""
    if text.startswith("uses "):
        return (text,)
    try:
        found = list(simples(parse(read(text)[0])))
    except TooDeep:
        return (text,)
    programs = [each.text for each in found if not is_message(each) or "$(" in each.text or "`" in each.text]
    inner = (match["script"][1:-1] for match in map(_GIVEN_TO_SHELL.match, programs) if match)
    return tuple(programs) + tuple(each for script in inner if script for each in _programs(script))


def _without_quotes(program: str) -> str:
    """Return ``program`` without what is quoted and has blanks: a text, and no argument that names something."""
    if program.startswith("uses "):
        return program
    return _QUOTED.sub(lambda found: found[0] if "$(" in found[0] or "`" in found[0] else "''", program)


def environments_of(command: Command, job: Job) -> frozenset[str]:
    """Return the environments that ``command`` deploys to: those it names, or else those that its job does."""
    for text in (command.text, command.environment or job.environment or "", job.name, command.step):
        named = frozenset(job.known.in_text(text))
        if named:
            return named
    return frozenset()


def deployed_by(job: Job) -> frozenset[str]:
    """Return the environments that ``job`` deploys to."""
    found = (environments_of(command, job) for command in job.commands if deploys(command) and not command.on_failure)
    return frozenset[str]().union(*found)


def with_role(role: str, environments: Iterable[str], job: Job) -> list[str]:
    """Return the environments with ``role``, sorted."""
    return sorted(each for each in environments if job.known.role(each) == role)


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
