"""What a check of deploy files is, and what it finds."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pytest_gaia.files.toml import Place
from pytest_gaia.preflight.files import DeployFiles

Severity = Literal["error", "warning", "note"]
"""``error`` gates; ``warning`` gates where that is asked for (``--strict``); ``note`` never does"""

_RANK: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}


class Found(NamedTuple):
    """What one check has found at one place."""

    place: Place
    text: str
    """what is there, in one sentence without a full stop; never the value of a secret"""
    fix: str
    """what to write instead"""
    environment: str | None = None
    """the environment that it concerns; None for all"""
    harmless: bool = False
    """whether it stops no deployment, although its check does"""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what it is called, how much it weighs, and how it looks."""

    id: str
    severity: Severity
    topic: str
    """the module that it belongs to, such as ``health``"""
    title: str
    why: str
    """why it matters, in one or two sentences"""
    look: Callable[[DeployFiles], Iterable[Found]]
    refuses: bool = False
    """whether what it finds stops a deployment: nothing could be proved after it, or it could harm another environment"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, where, why it matters and what to do."""

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


def check(
    identifier: str, severity: Severity, *, refuses: bool = False
) -> Callable[[Callable[[DeployFiles], Iterable[Found]]], Check]:
    """Turn a function that searches deploy files into a check.

    The first line of its docstring is the check's title, the rest says why it matters; its topic is its module.
    """

    def made(look: Callable[[DeployFiles], Iterable[Found]]) -> Check:
        topic = look.__module__.rpartition(".")[2]
        title, _, why = (inspect.getdoc(look) or "").partition("\n\n")
        return Check(identifier, severity, topic, title.removesuffix("."), " ".join(why.split()), look, refuses)

    return made


def finding(by: Check, found: Found) -> Finding:
    """Return what ``by`` has found as the finding that people see."""
    return Finding(
        by.id,
        by.severity,
        found.place,
        found.text,
        by.why,
        found.fix,
        found.environment,
        by.refuses and not found.harmless,
    )


def order(each: Finding) -> tuple[int, str, int, str, str]:
    """Errors first, then by file and line."""
    return _RANK[each.severity], each.place.file, each.place.line, each.check, each.text
