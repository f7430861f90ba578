"""The sealed plan: which tests a run owes, written down and hashed before anything is deployed.

What is left out afterwards (``-k``, ``-m``, ``--deselect``, ``--lf``, ``-x``, an emptied suite) cannot turn a stage
green: every test of the plan must have passed, or be excused by a rule, or not apply for a reason that is known.
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from pytest_gaia.errors import ConfigError
from pytest_gaia.files.writing import write_file
from pytest_gaia.verdict.classify import Classification

FORMAT: Literal["gaia-plan/1"] = "gaia-plan/1"

_NAMED = 3
"""how many tests a reason names"""


class PlannedTest(msgspec.Struct, frozen=True, order=True, gc=False):
    """One test that the run owes."""

    node: str
    markers: tuple[str, ...] = ()
    """its suite among them, and ``core`` or ``experimental``"""
    services: tuple[str, ...] = ()


class PlannedObjective(msgspec.Struct, frozen=True, order=True, gc=False):
    """One service level objective that the run will be measured by."""

    route: str
    percentile: float
    warn_ms: float | None
    fail_ms: float
    least_samples: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is decided before a run begins, and that nothing may change afterwards."""

    format: Literal["gaia-plan/1"] = FORMAT
    environment: str
    release: str = msgspec.field(default="", name="bundle")
    suites: tuple[str, ...]
    tests: tuple[PlannedTest, ...]
    """by node id"""
    objectives: tuple[PlannedObjective, ...] = ()
    expectations_digest: str = msgspec.field(name="policy", default="")
    """SHA-256 of the rules in force"""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the content, however the file is laid out."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()

    @property
    def nodes(self) -> tuple[str, ...]:
        """The node ids."""
        return tuple(test.node for test in self.tests)


def write_plan(path: Path, plan: Plan) -> None:
    """Write ``plan`` to ``path``, whole or not at all. Raises ``OSError``."""
    write_file(path, msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n")


def read_plan(path: Path) -> Plan:
    """Read a plan; raises ``ConfigError`` for a file that cannot be read, or is none."""
    try:
        plan = msgspec.json.decode(path.read_bytes(), type=Plan)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not a sealed plan (see --gaia-plan-out): {error}.") from None
    if not plan.tests:
        raise ConfigError(f"{path}: this plan owes no test, and would prove nothing.")
    return plan


def not_passed(sealed: Iterable[str], classifications: Sequence[Classification]) -> tuple[str, ...]:
    """Return the sealed tests that have neither passed nor are excused; those that gate are told elsewhere."""
    shown = {classification.node for classification in classifications if _shows(classification)}
    return tuple(node for node in sealed if node not in shown)


def missing_reason(sealed: int, missing: Sequence[str]) -> str:
    """Return in words that sealed tests were not passed; '' if all were."""
    if not missing:
        return ""
    named = ", ".join(missing[:_NAMED]) + (f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else "")
    return f"{len(missing)} of {sealed} sealed tests were not passed: {named}"


def _shows(classification: Classification) -> bool:
    if classification.outcome == "skipped":
        # A skip is an answer only where a rule asks for it.
        return bool(classification.expectations)
    return classification.outcome in ("passed", "unexpected pass", "expected failure", "tolerated", "not applicable")
