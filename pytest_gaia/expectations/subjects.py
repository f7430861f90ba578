"""What rules are held against: a test, how it failed, and the circumstances of the run."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import msgspec

from pytest_gaia.config.platform import SERVICES
from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.files.writing import write_file

PHASES = ("setup", "call", "teardown")

KINDS = ("assertion", "http", "timeout", "unreachable", "error", "crash")
"""How a test can fail: an assertion; an unexpected answer; no answer in time; no connection; any other exception; the
end of the process that ran it."""

CAPABILITIES = SERVICES
"""What a rule can be bound to: the members of the platform that were seen to answer."""


class Observed(NamedTuple):
    """Which of ``CAPABILITIES`` answered before the first test; those that are in neither set did not."""

    capabilities: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()


NOTHING_OBSERVED = Observed()


class Subject(msgspec.Struct, frozen=True, gc=False):
    """What a selector looks at: one collected test."""

    node: str
    """pytest's node id, relative to the root of the project"""
    markers: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    """the members of the platform that it uses"""


@dataclass(frozen=True, slots=True)
class FailureDetails:
    """How one phase of a test failed; what is not known is None. A rule's ``match`` is held against it."""

    phase: str
    """one of ``PHASES``"""
    kind: str
    """one of ``KINDS``"""
    message: str = ""
    status: int | None = None
    service: str | None = None
    via: str | None = None
    """``direct`` or ``gateway``"""
    route: str | None = None
    """path template"""
    method: str | None = None
    sqlstate: str | None = None
    nats: str | None = None
    """reason that the broker or its client gave"""


@dataclass(frozen=True, slots=True)
class Context:
    """The circumstances under which a run is judged. A replay judges the same evidence under others."""

    environment: str
    capabilities: frozenset[str]
    """those of ``CAPABILITIES`` that were observed"""
    today: date
    tolerance: Tolerance
    unknown: frozenset[str] = frozenset()
    """those of which nothing shows whether they answer"""


def write_subjects(path: Path, subjects: Iterable[Subject]) -> None:
    """Write ``subjects`` to ``path``: a JSON list of objects with node, markers and services."""
    plain = [
        {"node": each.node, "markers": sorted(each.markers), "services": sorted(each.services)} for each in subjects
    ]
    write_file(path, json.dumps(plain))


def read_subjects(path: Path) -> list[Subject]:
    """Read what :func:`write_subjects` has written."""
    plain = json.loads(path.read_text(encoding="utf-8"))
    return [Subject(each["node"], frozenset(each["markers"]), frozenset(each["services"])) for each in plain]
