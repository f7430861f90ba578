"""How much of a failing run an environment tolerates, and the one environment that tolerates nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

ToleranceKind = Literal["open", "listed", "zero"]
XfailMeaning = Literal["expected", "fails"]
SkipMeaning = Literal["allowed", "listed", "fails"]

PRODUCTION = "production"
"""Name of the environment whose tolerance no file can raise."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What gates in one environment. The default values are those of ``listed``."""

    kind: ToleranceKind = "listed"
    """``open``: only core checks gate; ``listed``: what no rule excuses gates; ``zero``: everything gates"""
    budget: int | None = None
    """the most failures that rules may excuse in one run; None for any number"""
    least_executed: int = 1
    """tests that must have run before a run is evidence"""
    longest_rule_days: int = 90
    """how far ``expires`` of a rule may be from its ``added``"""
    xfail: XfailMeaning = "expected"
    """what pytest's own xfail means here"""
    skip: SkipMeaning = "allowed"
    """what a skip in code means here: ``listed`` allows only what a rule lists"""


_OPEN: Mapping[str, Any] = {"kind": "open", "longest_rule_days": 180}
_ZERO: Mapping[str, Any] = {"kind": "zero", "budget": 0, "xfail": "fails", "skip": "fails"}
_OF_KIND: Mapping[str, Mapping[str, Any]] = {"open": _OPEN, "listed": {}, "zero": {}}


def tolerance_of(name: str, given: Mapping[str, Any]) -> Tolerance:
    """Return the tolerance of the environment ``name``; ``given`` are the values of its table, if any.

    A zero tolerance is whole: values that would soften it do not count.
    """
    kind = "zero" if name == PRODUCTION else given.get("kind", "listed")
    unyielding = _ZERO if kind == "zero" else {}
    return Tolerance(**{**_OF_KIND[kind], **given, **unyielding})


def contradiction(name: str, given: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return (key, problem in plain words) where one table says zero and something else; None where it does not."""
    if name != PRODUCTION and given.get("kind") != "zero":
        return None
    whose = f"{PRODUCTION} tolerates nothing, whatever a file says" if name == PRODUCTION else "the kind here is zero"
    for key, value in given.items():
        if key in _ZERO and value != _ZERO[key]:
            return key, f"{whose}: {key} is {_shown(_ZERO[key])}; leave this out."
    return None


TOLERANCE_KEYS = tuple(item.name for item in fields(Tolerance))


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
