"""What is wrong with settings of a stage, of the way through all stages, and of the ledger: key, and plain words."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec import UNSET

from pytest_gaia.config.environment import SANDBOX
from pytest_gaia.config.schema import EnvironmentTable, FreezeTable, LedgerTable, SloTable, StageTable
from pytest_gaia.config.stages import MACHINE_ROLE, duration
from pytest_gaia.config.tolerance import PRODUCTION
from pytest_gaia.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_gaia.config.locate import Key

    Mistakes = Iterator[tuple[Key, str]]

_ROUTE = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /\S*")
_REFERENCE = re.compile(r"refs/(?!heads/|tags/)[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)+")
_LEAST_AGE = timedelta(minutes=1)


def stage_mistakes(name: str, table: EnvironmentTable) -> Mistakes:
    """Yield what is wrong with the stage and the objectives of the environment ``name``, taken by themselves."""
    stage = table.stage
    if isinstance(stage, StageTable):
        if name == SANDBOX:
            yield ("stage",), "the sandbox is no stage of a release: everything that runs there is a rehearsal."
        yield from ((("stage", *key), problem) for key, problem in _of_stage(name, stage))
    yield from _of_objectives(table.slo if isinstance(table.slo, tuple) else ())


def pipeline_mistakes(project: Mapping[str, EnvironmentTable], shipped: Mapping[str, EnvironmentTable]) -> Mistakes:
    """Yield what is wrong with the way through the stages: one that nobody knows, and one that leads in a circle."""
    known = tuple(name for name in dict.fromkeys((*shipped, *project)) if name != SANDBOX)
    before = {name: _previous(shipped.get(name)) for name in known}
    before |= {name: stated for name in project if (stated := _previous(project[name])) is not None}
    for name, table in project.items():
        previous = _previous(table)
        if previous and previous not in known:
            why = "the sandbox is no stage of a release" if previous == SANDBOX else f"unknown environment {previous!r}"
            yield (name, "stage", "from"), f"{why}; {nearest(previous, known)}"
        if previous and name in (way := _way_back(name, before)):
            circle = " from ".join((name, *way))
            yield (name, "stage", "from"), f"the way leads in a circle: {circle}. The first stage has no `from`."


def ledger_mistakes(table: LedgerTable) -> Mistakes:
    """Yield what is wrong with ``[ledger]``."""
    if table.git is not UNSET and not _REFERENCE.fullmatch(table.git):
        yield ("git",), f"{table.git!r} is no reference for a ledger: write it as refs/gaia/ledger (no branch, no tag)."
    if table.git is not UNSET and table.path is not UNSET:
        yield ("path",), "a ledger is kept in one place: give `path` or `git`, not both."
    if table.remote is not UNSET and table.git is UNSET:
        yield ("remote",), 'only a ledger in git has a remote; add git = "refs/gaia/ledger".'


def _of_stage(name: str, stage: StageTable) -> Mistakes:
    if stage.previous == name:
        yield ("from",), "a stage cannot come from itself."
    if name == PRODUCTION and stage.require_signed is False:
        yield ("require_signed",), f"{PRODUCTION} takes signed evidence alone, whatever a file says; leave this out."
    if name == PRODUCTION and stage.previous == "":
        yield ("from",), f"nothing goes to {PRODUCTION} that was in no stage before; name the environment before it."
    if isinstance(stage.sign, tuple) and MACHINE_ROLE in stage.sign:
        yield ("sign",), f"{MACHINE_ROLE} is the role of machines; people sign a release in roles of their own."
    for key, text, least in (
        ("soak", stage.soak, timedelta(0)),
        ("evidence_age", stage.evidence_age, _LEAST_AGE),
    ):
        if isinstance(text, str):
            yield from (((key,), problem) for problem in _of_duration(text, least))
    for number, freeze in enumerate(stage.freeze if isinstance(stage.freeze, tuple) else ()):
        yield from ((("freeze", f"[{number}]", *key), problem) for key, problem in _of_freeze(freeze))


def _of_duration(text: str, least: timedelta) -> Iterator[str]:
    try:
        found = duration(text)
    except ValueError as error:
        yield str(error)
        return
    if found < least:
        yield f"{text!r} is too short: with less than a minute, no evidence would ever count."


def _of_freeze(freeze: FreezeTable) -> Mistakes:
    for key, moment in (("from", freeze.begins), ("until", freeze.until)):
        if moment.tzinfo is None:
            yield (key,), f"say the zone, such as {moment.isoformat()}Z."
            return
    if freeze.until <= freeze.begins:
        yield ("until",), "it has to end after it begins."


def _of_objectives(objectives: tuple[SloTable, ...]) -> Mistakes:
    seen: set[tuple[str, object]] = set()
    for number, each in enumerate(objectives):
        place = ("slo", f"[{number}]")
        if not _ROUTE.fullmatch(each.route):
            yield (*place, "route"), f'{each.route!r} is no route: a method and a path, such as "GET /health".'
        if each.warn_ms is not UNSET and each.warn_ms >= each.fail_ms:
            yield (*place, "warn_ms"), f"a warning comes before a failure: it has to be less than {each.fail_ms:g}."
        if (each.route, each.percentile) in seen:
            yield (*place, "route"), f"{each.route} has two objectives for the same percentile; keep one."
        seen.add((each.route, each.percentile))


def _previous(table: EnvironmentTable | None) -> str | None:
    stage = table.stage if table is not None else UNSET
    return stage.previous if isinstance(stage, StageTable) and isinstance(stage.previous, str) else None


def _way_back(name: str, before: Mapping[str, str | None]) -> tuple[str, ...]:
    """Return the stages before ``name``, nearest first, up to the first or to one that was passed already."""
    way: list[str] = []
    previous = before.get(name)
    while previous and previous not in way:
        way.append(previous)
        previous = before.get(previous)
    return tuple(way)
