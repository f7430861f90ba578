"""GitHub Actions: one file of ``.github/workflows``."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pytest_gaia.config.deployfiles.read import Environments
from pytest_gaia.preflight._workflows.conditions import Known, Value, evaluate, filled, outcomes, truth
from pytest_gaia.preflight._workflows.model import Command, Job, Variable, YamlFile, as_list, as_table
from pytest_gaia.preflight._workflows.scripts import SH, Script, Shell, action, commands, named_shell

_BY_HAND = {"workflow_dispatch", "workflow_call"}
_OWN_GROUP = re.compile(r"github\.(?:sha|run_id|run_number)\b")
_MOST_LEGS = 256
"""as many jobs as GitHub makes of one matrix"""


def _situation(*, success: bool, result: str, outcome: str, conclusion: str, upstream: str) -> dict[str, Value]:
    """Return the values for conditions if every job and every step had the same result."""
    return {
        "success()": frozenset({success}),
        "failure()": frozenset({not success}),
        "cancelled()": frozenset({False}),
        "needs.*.result": frozenset({result}),
        "steps.*.outcome": frozenset({outcome}),
        "steps.*.conclusion": frozenset({conclusion}),
        "github.event.workflow_run.conclusion": frozenset({upstream}),
    }


_ALL_WELL = _situation(success=True, result="success", outcome="success", conclusion="success", upstream="success")
_FAILED = (
    _situation(success=False, result="failure", outcome="failure", conclusion="failure", upstream="failure"),
    # A step with continue-on-error, or another workflow, has failed; the job has not.
    _situation(success=True, result="success", outcome="failure", conclusion="success", upstream="failure"),
)


def jobs(file: YamlFile) -> tuple[Job, ...]:
    """Return the jobs of the workflow."""
    triggers = _triggers(file)
    by_hand = bool(triggers) and set(triggers) <= _BY_HAND
    whole = bool(file.document.get("concurrency"))
    found = as_table(file.document.get("jobs"))
    return tuple(_job(file, name, as_table(body), by_hand=by_hand, alone=whole) for name, body in found.items())


def events(file: YamlFile) -> tuple[str | None, ...]:
    """Return what starts the workflow without a person."""
    return tuple(each for each in _triggers(file) if each not in _BY_HAND) or (None,)


def containers(file: YamlFile) -> frozenset[str]:
    """Return the names of service containers of jobs."""
    bodies = map(as_table, as_table(file.document.get("jobs")).values())
    return frozenset(str(name) for body in bodies for name in as_table(body.get("services")))


def after(file: YamlFile) -> tuple[str, ...]:
    """Return the workflows that this one waits for."""
    named = as_table(_triggers(file).get("workflow_run")).get("workflows")
    return tuple(map(str, as_list(named)))


def variables(file: YamlFile) -> Iterator[Variable]:
    """Yield every variable of the workflow, its jobs and their steps."""
    yield from file.variables("env")
    for name, body in as_table(file.document.get("jobs")).items():
        yield from file.variables("jobs", name, "env")
        for number, _ in enumerate(as_list(as_table(body).get("steps"))):
            yield from file.variables("jobs", name, f"steps[{number}]", "env")


def _triggers(file: YamlFile) -> dict[str, Any]:
    given = file.document.get("on")
    return given if isinstance(given, dict) else dict.fromkeys(map(str, as_list(given)))


def _job(file: YamlFile, name: str, body: dict[str, Any], *, by_hand: bool, alone: bool) -> Job:
    environment = body.get("environment")
    named = environment.get("name") if isinstance(environment, dict) else environment
    return Job(
        name=name,
        place=file.place("jobs", name),
        needs=tuple(map(str, as_list(body.get("needs")))),
        environment=str(named) if named else None,
        by_hand=by_hand,
        condition=_condition(body),
        alone=alone or bool(body.get("concurrency")),
        is_cancelled=any(_is_cancelled(each.get("concurrency"), events(file)) for each in (file.document, body)),
        commands=tuple(_commands(file, name, body)),
        known=file.known,
    )


def _is_cancelled(concurrency: object, started_by: Iterable[str | None]) -> bool:
    """Whether a newer run of the group cancels this one, for any event; of a group of its own there is no newer one."""
    given = as_table(concurrency)
    if _OWN_GROUP.search(str(given.get("group", ""))):
        return False
    condition = str(given.get("cancel-in-progress", "")).strip().lower()
    known: list[Known] = [{"github.event_name": frozenset({each}) if each else None} for each in started_by]
    marked = condition.removeprefix("${{").removesuffix("}}")
    return bool(condition) and any(truth(evaluate(marked, each)) == {True} for each in known)


def _commands(file: YamlFile, name: str, body: dict[str, Any]) -> Iterator[Command]:
    """Yield the commands of the job, once for each part of its matrix that names an environment."""
    found = list(_written(file, name, body))
    named = body.get("environment")
    environment = str(as_table(named).get("name", "") if isinstance(named, dict) else named or "")
    for leg in _legs(as_table(as_table(body.get("strategy")).get("matrix")), file.known):
        known: Known = {f"matrix.{key}".lower(): frozenset({value}) for key, value in leg.items()}
        for command in found:
            if True in outcomes(command.condition, known):
                yield replace(
                    command,
                    text=filled(command.text, known),
                    step=filled(command.step, known),
                    leg=", ".join(leg.values()),
                    environment=filled(environment, known) or None,
                )


def _written(file: YamlFile, name: str, body: dict[str, Any]) -> Iterator[Command]:
    on_failure, ignored = _is_on_failure(body), body.get("continue-on-error") is True
    if "uses" in body:
        yield action(Script(_used(body), file.place("jobs", name, "uses"), name, on_failure, ignored))
    for number, step in enumerate(map(as_table, as_list(body.get("steps")))):
        key = "run" if "run" in step else "uses"
        script = Script(
            text=str(step["run"]) if "run" in step else _used(step),
            place=file.place("jobs", name, f"steps[{number}]", key),
            step=str(step.get("name", "")),
            on_failure=on_failure or _is_on_failure(step),
            is_ignored=ignored or step.get("continue-on-error") is True,
        )
        shell = _shell(step, body, file.document)
        for command in commands([script], file, shell) if "run" in step else [action(script)]:
            yield replace(command, condition=_condition(step), step_id=str(step.get("id") or number))


def _shell(step: dict[str, Any], job: dict[str, Any], document: Mapping[str, Any]) -> Shell | None:
    """Return the shell of a step; None for one that is no POSIX shell, such as the default on Windows."""
    defaults = (as_table(as_table(each.get("defaults")).get("run")).get("shell") for each in (job, document))
    named = next((str(each) for each in (step.get("shell"), *defaults) if each), None)
    if named:
        return named_shell(named)
    return None if "windows" in str(job.get("runs-on")).lower() else SH


def _legs(matrix: dict[str, Any], known: Environments) -> list[dict[str, str]]:
    """Return the combinations of the axes of a matrix that name environments; one empty combination without any."""
    axes = {
        key: [_flat(key, value) for value in values]
        for key, values in matrix.items()
        if key not in ("include", "exclude") and isinstance(values, list)
    }
    naming = [each for each in axes.values() if any(_names_environment(values, known) for values in each)]
    rows = itertools.islice(itertools.product(*naming), _MOST_LEGS)
    legs = [dict(itertools.chain(*(part.items() for part in row))) for row in rows]
    crossed = [leg for leg in legs if leg]
    # An entry extends the combinations that it fits, or is one of its own.
    for entry in (_flat("", each) for each in as_list(matrix.get("include"))[:_MOST_LEGS]):
        own = {key: value for key, value in entry.items() if key.partition(".")[0] in axes}
        extended = [leg for leg in crossed if all(leg.get(key) == value for key, value in own.items())]
        for leg in extended:
            leg.update(entry)
        if not extended and _names_environment(entry, known):
            legs.append(entry)
    return [leg for leg in legs if leg] or [{}]


def _flat(key: str, value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        parts = (_flat(f"{key}.{name}" if key else str(name), each) for name, each in value.items())
        return dict(itertools.chain(*(part.items() for part in parts)))
    return {key: str(value)}


def _names_environment(values: dict[str, str], known: Environments) -> bool:
    return any(map(known.in_text, values.values()))


def _used(body: dict[str, Any]) -> str:
    """Return an action and its inputs on one line."""
    inputs = as_table(body.get("with"))
    return " ".join(
        ["uses", str(body.get("uses", "")), *(f"{key}={value}".replace("\n", " ") for key, value in inputs.items())]
    )


def _condition(body: dict[str, Any]) -> str:
    given = body.get("if")
    return str(given).lower() if isinstance(given, bool) else str(given or "")


def _is_on_failure(body: dict[str, Any]) -> bool:
    """Whether a job or step runs where something has failed, and not where all is well."""
    condition = _condition(body)
    if True in outcomes(condition, _ALL_WELL):
        return False
    return any(True in outcomes(condition, failed) for failed in _FAILED)
