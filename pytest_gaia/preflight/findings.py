"""Checks of deploy files, and their findings."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pytest_gaia.files.toml import Place
from pytest_gaia.preflight.files import DeployFiles

Severity = Literal["error", "warning", "note"]
"""``error`` blocks; ``warning`` blocks only with ``--strict``; ``note`` never blocks"""

_RANK: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}


class Found(NamedTuple):
    """A result of a check function at one place."""

    place: Place
    text: str
    """one sentence without a full stop; never contains the value of a secret"""
    fix: str
    """how to fix it"""
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
    look: Callable[[DeployFiles], Iterable[Found]]
    refuses: bool = False
    """whether its findings stop a deployment, which could not be verified or could harm another environment"""


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


def check(
    identifier: str, severity: Severity, *, refuses: bool = False
) -> Callable[[Callable[[DeployFiles], Iterable[Found]]], Check]:
    """Turn a function that searches deploy files into a check.

    The first line of its docstring is the title of the check, the rest is the reason. Its topic is its module.
    """

    def made(look: Callable[[DeployFiles], Iterable[Found]]) -> Check:
        topic = look.__module__.rpartition(".")[2]
        title, _, why = (inspect.getdoc(look) or "").partition("\n\n")
        return Check(identifier, severity, topic, title.removesuffix("."), " ".join(why.split()), look, refuses)

    return made


def finding(by: Check, found: Found) -> Finding:
    """Return the finding for a result of the check ``by``."""
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
    """Sort key: errors first, then by file and line."""
    return _RANK[each.severity], each.place.file, each.place.line, each.check, each.text
