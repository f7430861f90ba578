"""Inputs of expectations: a test, the details of its failure, and the context of the run."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import msgspec

from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.expectations.apis import NO_APIS, Apis
from pytest_gaia.files.writing import write_file

PHASES = ("setup", "call", "teardown")

KINDS = ("assertion", "http", "timeout", "unreachable", "error", "crash")
"""kinds of failures: assertion, unexpected HTTP response, timeout, no connection, other exception, end of the process"""

DIRECT = "direct"
"""``via`` of a request that was sent to the service itself"""


class Observed(NamedTuple):
    """Capabilities before the first test. A capability in neither set was unreachable."""

    capabilities: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()


NOTHING_OBSERVED = Observed()


class Subject(msgspec.Struct, frozen=True, gc=False):
    """One collected test, as selectors see it."""

    node: str
    """node ID, relative to the root of the project"""
    markers: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    """services that it uses"""


@dataclass(frozen=True, slots=True)
class FailureDetails:
    """Failure of one phase of a test, compared with ``match``. Unknown values are None."""

    phase: str
    """one of ``PHASES``"""
    kind: str
    """one of ``KINDS``"""
    message: str = ""
    status: int | None = None
    service: str | None = None
    via: str | None = None
    """``direct``, or the service through which the request was sent"""
    route: str | None = None
    """path template"""
    method: str | None = None
    sqlstate: str | None = None
    reason: str | None = None
    """class of the error that a client of NATS or Redis raised"""


@dataclass(frozen=True, slots=True)
class Context:
    """Circumstances under which a run is evaluated. ``gaia replay`` evaluates the same results under others."""

    environment: str
    capabilities: frozenset[str]
    """observed capabilities"""
    today: date
    tolerance: Tolerance
    unknown: frozenset[str] = frozenset()
    """capabilities for which the run has no observation"""
    known: frozenset[str] | None = None
    """services that existed when the run was recorded; None for all"""
    apis: Apis = NO_APIS
    """operations of the services, in this release and in the baseline"""

    def knows(self, capability: str) -> bool:
        """Whether the run observed that the capability is reachable, or that it is not."""
        return capability not in self.unknown and (self.known is None or capability in self.known)


def write_subjects(path: Path, subjects: Iterable[Subject]) -> None:
    """Write ``subjects`` to ``path``: a JSON list of objects with node, markers and services."""
    plain = [
        {"node": each.node, "markers": sorted(each.markers), "services": sorted(each.services)} for each in subjects
    ]
    write_file(path, json.dumps(plain))


def read_subjects(path: Path) -> list[Subject]:
    """Read a file that :func:`write_subjects` wrote."""
    plain = json.loads(path.read_text(encoding="utf-8"))
    return [Subject(each["node"], frozenset(each["markers"]), frozenset(each["services"])) for each in plain]
