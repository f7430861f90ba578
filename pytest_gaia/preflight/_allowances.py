"""Comments that allow what a check finds: ``# gaia: allow autostop because the broker keeps no state``.

An allowance stands on the line of the finding, or on lines of comments right above it. Without a reason it allows
nothing, and is an error of its own.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_gaia.files.toml import Place
from pytest_gaia.preflight.files import DeployFiles
from pytest_gaia.preflight.findings import Check, Finding, Found, finding
from pytest_gaia.preflight.spelling import meant

_ALLOW = re.compile(r"gaia:\s*allow\b(?P<rest>.*)", re.IGNORECASE)
_PARTS = re.compile(r"(?P<checks>.*?)(?:\bbecause\b(?P<reason>.*))?", re.IGNORECASE | re.DOTALL)

UNEXPLAINED = Check(
    "unexplained-allowance",
    "error",
    "allowances",
    "An allowance gives no reason",
    "Whoever reads it later cannot tell whether it still holds.",
    lambda _: (),
)
UNUSED = Check(
    "unused-allowance",
    "warning",
    "allowances",
    "An allowance allows nothing",
    "It is left over, or stands at the wrong line, and would hide the next mistake at that place.",
    lambda _: (),
)
OWN_CHECKS = (UNEXPLAINED, UNUSED)
"""what is found about allowances themselves"""


@dataclass(frozen=True, slots=True)
class Allowance:
    """One comment that allows something."""

    checks: tuple[str, ...]
    reason: str
    place: Place
    lines: frozenset[int]
    """the lines of the file that it is about"""


def read_allowances(files: DeployFiles) -> list[Allowance]:
    """Return every allowance in the files."""
    found: dict[tuple[str, int], Allowance] = {}
    for name, comments, taken in _commented(files):
        for line, comment in comments.items():
            match = _ALLOW.search(comment)
            if match:
                lines = _lines_about(line, comments, taken)
                found[name, line] = _parsed(match["rest"], Place(name, line), lines)
    return list(found.values())


def _commented(files: DeployFiles) -> Iterator[tuple[str, Mapping[int, str], frozenset[int]]]:
    """Yield (file, its comments, the lines on which a key stands) of every file."""
    for _, app in files.apps():
        yield app.place().file, app.comments, frozenset(place.line for place in app.places.values())
    for deployment in files.deployments:
        for app in deployment.overrides:
            yield app.place("app").file, app.comments, frozenset(place.line for place in app.places.values())
    for workflow in files.workflows:
        coded = (number for number, text in enumerate(workflow.lines, start=1) if not text.lstrip().startswith("#"))
        yield workflow.file, workflow.comments, frozenset(coded)


def _lines_about(line: int, comments: Mapping[int, str], taken: frozenset[int]) -> frozenset[int]:
    """Return the lines that a comment on ``line`` is about: its own, and from one that stands alone the next with a key."""
    lines = {line}
    while line not in taken and line + 1 in comments and line + 1 not in taken:
        line += 1
    return frozenset(lines if line in taken else lines | {line + 1})


def _parsed(rest: str, place: Place, lines: frozenset[int]) -> Allowance:
    parts = _PARTS.fullmatch(rest)
    checks, reason = (parts["checks"], parts["reason"] or "") if parts else ("", "")
    names = tuple(name for name in re.split(r"[\s,]+", checks.strip()) if name)
    return Allowance(names, reason.strip(), place, lines)


def settle(
    findings: Sequence[Finding], allowances: Sequence[Allowance], known: Iterable[str], unasked: Iterable[str] = ()
) -> list[Finding]:
    """Return ``findings`` without those that are allowed, and with what is wrong with the allowances themselves.

    ``known`` are the names of all checks; ``unasked`` those that could not look, whose allowances may be of use yet.
    """
    names, open_names = set(known), set(unasked)
    used: set[tuple[Place, str]] = set()
    left = []
    for each in findings:
        by = [allowance for allowance in allowances if _covers(allowance, each)]
        used |= {(allowance.place, each.check) for allowance in by}
        if not any(allowance.reason for allowance in by):
            left.append(each)
    own = [each for allowance in allowances for each in _own(allowance, names, used, open_names)]
    return [*left, *own]


def _covers(allowance: Allowance, each: Finding) -> bool:
    is_there = each.place.file == allowance.place.file and each.place.line in allowance.lines
    return is_there and each.check in allowance.checks


def _own(allowance: Allowance, names: set[str], used: set[tuple[Place, str]], unasked: set[str]) -> Iterator[Finding]:
    if not allowance.reason or not allowance.checks:
        what = "this comment allows " + (", ".join(allowance.checks) or "no check by name") + " and says no reason"
        yield finding(UNEXPLAINED, Found(allowance.place, what, "write # gaia: allow CHECK because REASON"))
        return
    for name in allowance.checks:
        if name not in names:
            right = meant(name, names)
            mend = f"write {right}" if right else "write the name of a check, as `gaia config check` shows it"
            yield finding(UNUSED, Found(allowance.place, f'there is no check "{name}"', mend))
        elif (allowance.place, name) not in used and name not in unasked:
            what = f"{name} finds nothing here"
            yield finding(UNUSED, Found(allowance.place, what, "remove the comment"))
