"""GitHub Actions: one file of ``.github/workflows``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gaia.preflight.workflows.model import Job, Variable
from pytest_gaia.preflight.workflows.scripts import Script, commands
from pytest_gaia.preflight.workflows.yaml_file import YamlFile, as_list, as_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gaia.preflight.workflows.model import Command

_BY_HAND = {"workflow_dispatch", "workflow_call"}
_FAILURE = ("failure()", "'failure'", '"failure"')


def jobs(file: YamlFile) -> tuple[Job, ...]:
    """Return the jobs of the workflow."""
    triggers = _triggers(file)
    by_hand = bool(triggers) and set(triggers) <= _BY_HAND
    whole = bool(file.document.get("concurrency"))
    found = as_table(file.document.get("jobs"))
    return tuple(_job(file, name, as_table(body), by_hand=by_hand, alone=whole) for name, body in found.items())


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
        regardless=_is_regardless(body.get("if")),
        alone=alone or bool(body.get("concurrency")),
        commands=tuple(_commands(file, name, body)),
    )


def _commands(file: YamlFile, name: str, body: dict[str, Any]) -> Iterator[Command]:
    on_failure, ignored = _is_failure(body.get("if")), body.get("continue-on-error") is True
    if "uses" in body:
        script = Script(_used(body), file.place("jobs", name, "uses"), name, on_failure, ignored)
        yield from commands(script, file.lines)
    for number, step in enumerate(map(as_table, as_list(body.get("steps")))):
        key = "run" if "run" in step else "uses"
        script = Script(
            text=str(step["run"]) if "run" in step else _used(step),
            place=file.place("jobs", name, f"steps[{number}]", key),
            step=str(step.get("name", "")),
            on_failure=on_failure or _is_failure(step.get("if")),
            is_ignored=ignored or step.get("continue-on-error") is True,
        )
        yield from commands(script, file.lines)


def _used(body: dict[str, Any]) -> str:
    """Return an action and its inputs on one line."""
    inputs = as_table(body.get("with"))
    return " ".join(
        ["uses", str(body.get("uses", "")), *(f"{key}={value}".replace("\n", " ") for key, value in inputs.items())]
    )


def _is_regardless(condition: object) -> bool:
    """Whether a job with this condition starts after a job that has failed, as far as the condition alone says."""
    text = str(condition or "").replace(" ", "")
    return ("always()" in text or "!cancelled()" in text) and "success" not in text


def _is_failure(condition: object) -> bool:
    text = str(condition or "")
    return any(each in text for each in _FAILURE) and "!failure()" not in text.replace(" ", "")
