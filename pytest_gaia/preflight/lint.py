"""Run all checks of deploy files, or those that stop a deployment, and settle the findings that a file allows."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight._checks import (
    artifacts,
    availability,
    containers,
    data,
    exposure,
    health,
    keys,
    names,
    parity,
    pipelines,
    secrets,
    urls,
)
from pytest_gaia.preflight.files import DeployFiles
from pytest_gaia.preflight.findings import Check, Finding, Found, finding, order
from pytest_gaia.preflight.spelling import Environments, meant

_ALLOW = re.compile(r"gaia:\s*allow\b(?P<rest>.*)", re.IGNORECASE)
_PARTS = re.compile(r"(?P<checks>.*?)(?:\bbecause\b(?P<reason>.*))?", re.IGNORECASE | re.DOTALL)

UNEXPLAINED = Check(
    "unexplained-allowance",
    "error",
    "allowances",
    "An allowance has no reason",
    "Later readers cannot know whether it is still valid.",
    lambda _: (),
)
UNUSED = Check(
    "unused-allowance",
    "warning",
    "allowances",
    "An allowance allows nothing",
    "It is obsolete or on the wrong line, and would hide the next error there.",
    lambda _: (),
)
OWN_CHECKS = (UNEXPLAINED, UNUSED)
"""checks of the allowances themselves"""


@dataclass(frozen=True, slots=True)
class Allowance:
    """One comment that allows something."""

    checks: tuple[str, ...]
    reason: str
    place: Place
    lines: frozenset[int]
    """the lines of the file that it applies to"""


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
    """Yield (file, line → comment, lines with a key) for every file."""
    for _, app in files.apps():
        yield app.place().file, app.comments, frozenset(place.line for place in app.places.values())
    for deployment in files.deployments:
        for app in deployment.overrides:
            yield app.place("app").file, app.comments, frozenset(place.line for place in app.places.values())
    for workflow in files.workflows:
        coded = (number for number, text in enumerate(workflow.lines, start=1) if not text.lstrip().startswith("#"))
        yield workflow.file, workflow.comments, frozenset(coded)


def _lines_about(line: int, comments: Mapping[int, str], taken: frozenset[int]) -> frozenset[int]:
    """Return the lines that a comment on ``line`` applies to: its own, and for a comment on its own line the next with a key."""
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
    """Return the findings that are not allowed, and findings about the allowances themselves.

    ``known`` are the names of all checks. ``unasked`` are checks that did not run, whose allowances may still be needed.
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
        what = "this comment allows " + (", ".join(allowance.checks) or "no check by name") + " without a reason"
        yield finding(UNEXPLAINED, Found(allowance.place, what, "write # gaia: allow CHECK because REASON"))
        return
    for name in allowance.checks:
        if name not in names:
            right = meant(name, names)
            fix = f"write {right}" if right else "write the name of a check, as in the output of `gaia config check`"
            yield finding(UNUSED, Found(allowance.place, f'unknown check "{name}"', fix))
        elif (allowance.place, name) not in used and name not in unasked:
            what = f"{name} finds nothing here"
            yield finding(UNUSED, Found(allowance.place, what, "remove the comment"))


_MODULES: tuple[ModuleType, ...] = (
    names,
    urls,
    data,
    secrets,
    health,
    availability,
    artifacts,
    exposure,
    parity,
    containers,
    keys,
    pipelines,
)

CHECKS: tuple[Check, ...] = tuple(
    value for module in _MODULES for value in vars(module).values() if isinstance(value, Check)
)

TOPICS: tuple[str, ...] = tuple(dict.fromkeys(check.topic for check in CHECKS))

ALL_CHECKS: tuple[Check, ...] = (*CHECKS, *OWN_CHECKS)
"""all checks, including those of allowances"""

_ASKING = ("secret-unset",)
"""checks that need a query of a deploy tool"""


def lint(files: DeployFiles, environment: str | None = None) -> list[Finding]:
    """Return the findings in ``files``, errors first.

    With ``environment``, return only findings that concern it; it is still compared with the others.
    """
    unasked = () if files.set_secrets else _ASKING
    names = [each.id for each in ALL_CHECKS]
    findings = settle(list(_look(files, CHECKS)), read_allowances(files), names, unasked)
    if environment is not None:
        findings = [each for each in findings if _concerns(each, environment, files)]
    return sorted(findings, key=order)


def refusals(deployment: Deployment, others: Iterable[Deployment] = ()) -> list[Finding]:
    """Return the findings that stop ``deployment``, because it could not be verified or could harm another environment.

    It is compared with the deployments ``others``. Findings that a comment allows with a reason do not count.
    """
    files = DeployFiles(
        (deployment, *others), platform=deployment.platform, environments=Environments(deployment.folder.known)
    )
    findings = list(_look(files, [each for each in CHECKS if each.refuses]))
    explained = [allowance for allowance in read_allowances(files) if allowance.reason]
    left = settle(findings, explained, (), ())
    own = [each for each in left if each.refuses and each.environment == deployment.environment]
    return sorted(own, key=order)


def _look(files: DeployFiles, checks: Sequence[Check]) -> Iterator[Finding]:
    for each in checks:
        for found in each.look(files):
            yield finding(each, found)


def _concerns(each: Finding, environment: str, files: DeployFiles) -> bool:
    if each.environment is not None:
        return each.environment == environment
    deployment = files.deployment(environment)
    return deployment is None or each.place.file in {app.place().file for app in deployment.apps}
