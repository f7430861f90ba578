"""Which failures block a release in an environment. Production has zero tolerance."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

ToleranceKind = Literal["advisory", "known-failures", "strict"]
XfailMeaning = Literal["expected", "fail"]
SkipMeaning = Literal["allowed", "expected", "fail"]
BaselineMeaning = Literal["optional", "required"]

PRODUCTION = "production"
"""role of the environments whose tolerance is always strict"""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Which failures block a release in one environment. The default values are those of ``known-failures``."""

    kind: ToleranceKind = "known-failures"
    """failures that block a release: of core tests (``advisory``), those without an expectation (``known-failures``),
    or all (``strict``)"""
    budget: int | None = None
    """failure budget: most accepted failures in one run; no limit by default"""
    min_tests: int = 1
    """tests that a full run must execute"""
    max_expectation_age_days: int = 90
    """most days from ``created`` to ``expires`` of an expectation"""
    xfail: XfailMeaning = "expected"
    """outcome of a test that pytest reports as xfailed"""
    skip: SkipMeaning = "allowed"
    """whether a skip blocks: never (``allowed``), without an expectation (``expected``), or always (``fail``)"""
    baseline: BaselineMeaning = "required"
    """whether tests of operations that the release does not offer need a baseline that shows that they are not gone. The
    first promotion to an environment has none, so this can be ``optional`` in production, too"""


_ADVISORY: Mapping[str, Any] = {"kind": "advisory", "max_expectation_age_days": 180, "baseline": "optional"}
_STRICT: Mapping[str, Any] = {"kind": "strict", "budget": 0, "xfail": "fail", "skip": "fail"}
_OF_KIND: Mapping[str, Mapping[str, Any]] = {"advisory": _ADVISORY, "known-failures": {}, "strict": _STRICT}


def tolerance_of(role: str, given: Mapping[str, Any]) -> Tolerance:
    """Return the tolerance of an environment with ``role``; ``given`` are the values of its table.

    Values that would weaken a strict tolerance have no effect.
    """
    kind = "strict" if role == PRODUCTION else given.get("kind", "known-failures")
    fixed = _STRICT if kind == "strict" else {}
    return Tolerance(**{**_OF_KIND[kind], **given, **fixed})


def contradiction(role: str, given: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return (key, problem) if one table is strict and also weakens that; otherwise None."""
    if role != PRODUCTION and given.get("kind") != "strict":
        return None
    whose = f"the tolerance of {PRODUCTION} is always strict" if role == PRODUCTION else 'kind = "strict"'
    for key, value in given.items():
        if key in _STRICT and value != _STRICT[key]:
            return key, f"{whose}, which requires {key} = {_shown(_STRICT[key])}; remove this key."
    return None


TOLERANCE_KEYS = tuple(item.name for item in fields(Tolerance))


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
