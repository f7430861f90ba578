"""GitLab CI: ``.gitlab-ci.yml``."""

from collections.abc import Iterator
from typing import Any

from pytest_gaia.preflight._workflows.model import Command, Job, Variable, YamlFile, as_list, as_table
from pytest_gaia.preflight._workflows.scripts import BASH, Script, commands

_NO_JOBS = {
    "stages", "variables", "default", "include", "workflow", "image", "services", "cache", "before_script",
    "after_script", "spec",
}  # fmt: skip
_STAGES = (".pre", "build", "test", "deploy", ".post")
_DEEPEST = 11
"""as many levels of ``extends`` as GitLab follows"""


def jobs(file: YamlFile) -> tuple[Job, ...]:
    """Return the jobs of the pipeline; templates, whose names begin with a dot, are no jobs."""
    bodies = {
        name: _extended(file, as_table(body), _DEEPEST)
        for name, body in file.document.items()
        if name not in _NO_JOBS and not name.startswith(".") and isinstance(body, dict)
    }
    given = as_list(file.document.get("stages"))
    stages = [".pre", *map(str, given), ".post"] if given else list(_STAGES)
    return tuple(_job(file, name, body, bodies, stages) for name, body in bodies.items())


def variables(file: YamlFile) -> Iterator[Variable]:
    """Yield every variable of the pipeline and its jobs."""
    yield from file.variables("variables")
    for name, body in file.document.items():
        if isinstance(body, dict) and name not in _NO_JOBS:
            yield from file.variables(name, "variables")


def containers(file: YamlFile) -> frozenset[str]:
    """Return the names or aliases of service containers of jobs."""
    bodies = [file.document, *map(as_table, file.document.values())]
    given = [each for body in bodies for each in as_list(body.get("services"))]
    tables = [each if isinstance(each, dict) else {"name": each} for each in given]
    images = [str(each.get("name", "")).partition(":")[0] for each in tables]
    aliases = {str(each["alias"]) for each in tables if each.get("alias")}
    return frozenset(aliases.union(*({image.replace("/", sign) for sign in ("-", "__")} for image in images)))


def _extended(file: YamlFile, body: dict[str, Any], depth: int) -> dict[str, Any]:
    """Return ``body`` merged over the jobs that it extends."""
    base: dict[str, Any] = {}
    for name in as_list(body.get("extends")) if depth else ():
        base |= _extended(file, as_table(file.document.get(str(name))), depth - 1)
    return base | body


def _job(file: YamlFile, name: str, body: dict[str, Any], bodies: dict[str, dict[str, Any]], stages: list[str]) -> Job:
    environment = body.get("environment")
    named = environment.get("name") if isinstance(environment, dict) else environment
    return Job(
        name=name,
        place=file.place(name),
        needs=_needs(body, bodies, stages),
        environment=str(named) if named else None,
        by_hand=_when(body) == {"manual"} or body.get("trigger") is not None,
        passes=_passes(body, bodies, stages),
        condition=_condition(body),
        alone=bool(body.get("resource_group")),
        is_cancelled=body.get("interruptible", as_table(file.document.get("default")).get("interruptible")) is True,
        commands=tuple(_commands(file, name, body)),
        known=file.known,
    )


def _needs(body: dict[str, Any], bodies: dict[str, dict[str, Any]], stages: list[str]) -> tuple[str, ...]:
    if "needs" in body:
        given = (each.get("job", "") if isinstance(each, dict) else each for each in as_list(body["needs"]))
        return tuple(str(each) for each in given if each)
    return tuple(name for name, other in _earlier(body, bodies, stages) if not _is_optional(other))


def _passes(body: dict[str, Any], bodies: dict[str, dict[str, Any]], stages: list[str]) -> tuple[str, ...]:
    """Return the manual jobs of earlier stages that the job does not wait for."""
    needs = _needs(body, bodies, stages)
    manual = (name for name, other in _earlier(body, bodies, stages) if "manual" in _when(other))
    return tuple(name for name in manual if name not in needs)


def _earlier(
    body: dict[str, Any], bodies: dict[str, dict[str, Any]], stages: list[str]
) -> list[tuple[str, dict[str, Any]]]:
    own = _stage(body)
    earlier = stages[: stages.index(own)] if own in stages else []
    return [(name, other) for name, other in bodies.items() if _stage(other) in earlier]


def _stage(body: dict[str, Any]) -> str:
    return str(body.get("stage", "test"))


def _when(body: dict[str, Any]) -> set[str]:
    """Return the words that say when the job runs: its own, or those of its rules."""
    usual = str(body.get("when") or "on_success")
    rules = [as_table(rule) for rule in as_list(body.get("rules"))]
    return {str(rule.get("when") or usual) for rule in rules} - {"never"} if rules else {usual}


def _condition(body: dict[str, Any]) -> str:
    """Return when the job starts, in GitHub's words."""
    when = _when(body)
    if "always" in when:
        return "always()"
    if "on_failure" in when:
        return "failure()" if when <= {"on_failure", "manual"} else "success() || failure()"
    return ""


def _is_optional(body: dict[str, Any]) -> bool:
    """Whether the job waits for a person, and later stages do not wait for it, which is the default without rules."""
    rules = [as_table(rule) for rule in as_list(body.get("rules"))]
    if not rules:
        return body.get("when") == "manual" and body.get("allow_failure") is not False
    by_hand = [rule for rule in rules if (rule.get("when") or body.get("when")) == "manual"]
    return any(rule.get("allow_failure", body.get("allow_failure")) is True for rule in by_hand)


def _commands(file: YamlFile, name: str, body: dict[str, Any]) -> Iterator[Command]:
    on_failure, ignored = _condition(body) == "failure()", body.get("allow_failure") is True
    for keys in (("before_script", "script"), ("after_script",)):
        scripts = []
        for key, given in ((key, body.get(key)) for key in keys):
            for number, text in enumerate(_flat(given)):
                step = f"{key}[{number}]" if isinstance(given, list) else key
                scripts.append(Script(text, file.place(name, step), name, on_failure, ignored or key == "after_script"))
        yield from commands(scripts, file, BASH)


def _flat(given: object) -> list[str]:
    """Return the lines of a script; lists within it are taken apart, as GitLab does."""
    if isinstance(given, list):
        return [text for each in given for text in _flat(each)]
    return [] if given is None else [str(given)]
