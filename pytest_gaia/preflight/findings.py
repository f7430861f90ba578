"""Checks of files, their findings, and the comments that allow a finding."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

from pytest_gaia.config.deployfiles.read import meant
from pytest_gaia.files.toml import Place

Severity = Literal["error", "warning", "note"]
"""``error`` blocks; ``warning`` blocks only with ``--strict``; ``note`` never blocks"""

_RANK: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}


class Found(NamedTuple):
    """A result of a check function at one place."""

    place: Place
    text: str
    """one sentence without a full stop; never contains the value of a secret"""
    fix: str = ""
    """how to fix it, if it differs from the fix of the check"""
    environment: str | None = None
    """environment that it concerns; None for all"""
    harmless: bool = False
    """whether it does not stop a deployment, although its check does"""


@dataclass(frozen=True, slots=True)
class Check:
    """One check."""

    id: str
    severity: Severity
    topic: str
    """its module, such as ``health``"""
    title: str
    why: str
    """reason, in one or two sentences"""
    # Any: the deploy files, or one test file.
    look: Callable[[Any], Iterable[Found]]
    refuses: bool = False
    """whether its findings stop a deployment, which could not be verified or could harm another environment"""
    fix: str = ""
    """how to fix its findings, if that is the same for all"""


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding, with its place, its reason and its fix."""

    check: str
    severity: Severity
    place: Place
    text: str
    why: str
    fix: str
    environment: str | None = None
    refuses: bool = False
    """whether it stops a deployment"""

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "check": self.check,
            "severity": self.severity,
            "environment": self.environment,
            "file": self.place.file,
            "line": self.place.line,
            "key": self.place.key or None,
            "what": self.text,
            "why": self.why,
            "fix": self.fix,
        }


_T = TypeVar("_T")


def check(
    identifier: str, severity: Severity, *, refuses: bool = False
) -> Callable[[Callable[[_T], Iterable[Found]]], Check]:
    """Turn a function that searches files into a check.

    The first line of its docstring is the title of the check, the rest is the reason, and a paragraph that begins with
    ``Fix:`` is the fix of all findings. Its topic is its module.
    """

    def made(look: Callable[[_T], Iterable[Found]]) -> Check:
        topic = look.__module__.rpartition(".")[2]
        title, _, rest = (inspect.getdoc(look) or "").partition("\n\n")
        why, _, fix = (" ".join(part.split()) for part in rest.partition("\n\nFix:"))
        return Check(identifier, severity, topic, title.removesuffix("."), why, look, refuses, fix.removesuffix("."))

    return made


def finding(by: Check, found: Found) -> Finding:
    """Return the finding for a result of the check ``by``."""
    return Finding(
        by.id,
        by.severity,
        found.place,
        found.text,
        by.why,
        found.fix or by.fix,
        found.environment,
        by.refuses and not found.harmless,
    )


def order(each: Finding) -> tuple[int, str, int, str, str]:
    """Sort key: errors first, then by file and line."""
    return _RANK[each.severity], each.place.file, each.place.line, each.check, each.text


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


def read_allowances(commented: Iterable[tuple[str, Mapping[int, str], frozenset[int]]]) -> list[Allowance]:
    """Return every allowance in files: name of the file, line → comment, and lines that contain anything else."""
    found: dict[tuple[str, int], Allowance] = {}
    for name, comments, taken in commented:
        for line, comment in comments.items():
            match = _ALLOW.search(comment)
            if match:
                lines = _lines_about(line, comments, taken)
                found[name, line] = _parsed(match["rest"], Place(name, line), lines)
    return list(found.values())


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
            fix = f"write {right}" if right else "write the name of a check, as in the output of the command"
            yield finding(UNUSED, Found(allowance.place, f'unknown check "{name}"', fix))
        elif (allowance.place, name) not in used and name not in unasked:
            what = f"{name} finds nothing here"
            yield finding(UNUSED, Found(allowance.place, what, "remove the comment"))
