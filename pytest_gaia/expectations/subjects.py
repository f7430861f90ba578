"""Inputs of expectations: a test, the details of its failure, and the context of the run. Selectors match them.

A selector names a part of a node ID, a service, a marker, or all. A part of a node ID matches at boundaries only:
``suites/persona`` does not cover ``suites/personas``, and ``test_a`` does not cover ``test_ab``. Wildcards do not exist, so
that the more specific of two selectors is always known.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import msgspec

from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.expectations.apis import NO_APIS, Apis
from pytest_gaia.files.writing import write_file
from pytest_gaia.secrets.masks import unkeyed

PHASES = ("setup", "call", "teardown")

KINDS = (
    "assertion",
    "http",
    "timeout",
    "unreachable",
    "error",
    "background",
    "swallowed",
    "direct connection",
    "crash",
)
"""kinds of failures: assertion, unexpected HTTP response, timeout, no connection, other exception, exception in a thread, task,
callback or finalizer, expectation whose error was caught, end of the process"""
UNNOTICED = frozenset(("background", "swallowed", "direct connection"))
"""kinds that pytest does not notice, and that a signature must name"""

DIRECT = "direct"
"""``via`` of a request that was sent to the service itself"""

Rank: TypeAlias = tuple[int, int]
"""specificity: all < service, marker < folder < file < class < function < parameters"""

ALL, GROUP, PATH, NAME, PARAMETERS = range(5)

_KINDS = ("all", "group", "path", "name", "parameters")


class Observed(NamedTuple):
    """Capabilities before the first test. A capability in neither set was unreachable."""

    capabilities: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    outages: Mapping[str, str] = MappingProxyType({})
    """service → why no test that requires it can be evidence"""

    def without(self, outages: Mapping[str, object]) -> "Observed":
        """Return this without services that have one of ``outages``."""
        reasons = {service: str(outage) for service, outage in outages.items()}
        return Observed(self.capabilities.difference(outages), self.unknown.difference(outages), reasons)


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
    evidence: bool = True
    """whether the results contain what each pass is based on; older ones do not"""

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


class Selector(msgspec.Struct, frozen=True, gc=False):
    """One parsed selector. ``text`` is its canonical form: equal texts cover the same tests."""

    text: str
    rank: Rank

    @property
    def kind(self) -> str:
        """Kind of the selector: ``all``, ``service``, ``marker``, ``path``, ``name`` (class or function) or ``parameters``."""
        return self.text.partition(":")[0] if self.rank[0] == GROUP else _KINDS[self.rank[0]]

    def covers(self, subject: Subject) -> bool:
        """Return whether the selector covers the test ``subject``."""
        return self.text in keys_of(subject)


@lru_cache(maxsize=16384)
def parse_selector(text: str) -> Selector:
    """Return the selector ``text``. Raises ``ValueError`` with the problem."""
    if text == "all":
        return Selector(text, (ALL, 0))
    if not text or text != text.strip():
        raise ValueError(f"{text!r} is empty, or begins or ends with a space")
    if text.startswith(("service:", "marker:")):
        if not text.partition(":")[2]:
            raise ValueError(f"{text!r} has no name after the colon")
        return Selector(text, (GROUP, 0))
    return _parse_node(text)


def keys_of(subject: Subject) -> tuple[str, ...]:
    """Return the texts of all selectors that cover ``subject``, the most specific first."""
    return (*names_of(subject.node), *keys_around(subject))


def keys_around(subject: Subject) -> tuple[str, ...]:
    """Return those of :func:`keys_of` that are broader than a class: file, folders, members, markers, all."""
    return (
        *_paths_of(subject.node.partition("::")[0]),
        *(f"service:{service}" for service in sorted(subject.services)),
        *(f"marker:{marker}" for marker in sorted(subject.markers)),
        "all",
    )


def names_of(node: str) -> Iterator[str]:
    """Yield the node itself, then the function (without parameters) and the classes around it."""
    path, separator, rest = node.partition("::")
    if not separator:
        return
    # Parameters may contain "::", "/" and brackets.
    name, bracket, _ = rest.partition("[")
    if bracket:
        yield node
    while name:
        yield f"{path}::{name}"
        name = name.rpartition("::")[0]


def _paths_of(path: str) -> tuple[str, ...]:
    parts = path.split("/")
    return tuple("/".join(parts[:length]) for length in range(len(parts), 0, -1))


def _parse_node(text: str) -> Selector:
    path, separator, rest = text.partition("::")
    if separator:
        path = path.rstrip("/")
    else:
        text = path = text.rstrip("/")
    _check_path(path)
    if not separator:
        return Selector(text, (PATH, path.count("/") + 1))
    name, bracket, parameters = rest.partition("[")
    if "" in name.split("::"):
        raise ValueError(f"{text!r} has an empty name next to '::'")
    _check_globs(name, text)
    if bracket and not parameters.endswith("]"):
        raise ValueError(f"{text!r} contains '[' and does not end with ']'")
    return Selector(text, (PARAMETERS, 0) if bracket else (NAME, name.count("::") + 1))


def _check_path(path: str) -> None:
    if "\\" in path:
        raise ValueError(f"{path!r} contains a backslash; write node IDs with '/'")
    if path.startswith("/") or path[1:2] == ":":
        raise ValueError(f"{path!r} is absolute; node IDs are relative to the folder of gaia.toml")
    if not _NO_NAMES.isdisjoint(path.split("/")):
        raise ValueError(f"{path!r} contains an empty part, '.' or '..'; copy the node ID that pytest prints")
    _check_globs(path, path)


_NO_NAMES = frozenset(("", ".", ".."))


def _check_globs(part: str, text: str) -> None:
    if "*" in part or "?" in part:
        raise ValueError(f"{text!r} contains a wildcard; name the folder, file or class instead")


Values: TypeAlias = tuple[str, ...]

CRASH = "crash"


class Match(msgspec.Struct, frozen=True, gc=False):
    """Failure signature. Every field that is set must match; one value of a field is enough.

    A crash never matches: it always blocks.
    """

    kind: Values = ()
    status: tuple[int, ...] = ()
    service: Values = ()
    via: Values = ()
    route: Values = ()
    method: Values = ()
    message: Values = ()
    """parts of the message; case and white space are ignored"""
    sqlstate: Values = ()
    # Ledgers contain digests that were computed with the old name.
    reason: Values = msgspec.field(default=(), name="nats")

    @property
    def keys(self) -> tuple[str, ...]:
        """The fields that are set."""
        return tuple(name for name in KEYS if getattr(self, name))


KEYS = Match.__struct_fields__


def mismatch(match: Match, details: FailureDetails) -> tuple[str, ...]:
    """Return the differences to ``details``, such as ``status 500, expected 404|503``; empty if the signature matches."""
    problems = [_problem(match, details, key) for key in match.keys]
    if details.kind in UNNOTICED and not match.kind:
        problems.append(f"kind {details.kind}, which an expectation must name")
    if details.kind == CRASH:
        problems.append("kind crash, which always blocks")
    return tuple(problem for problem in problems if problem)


def folded(text: str) -> str:
    """Return ``text`` as it is compared: in lower case, with single spaces, without the digests of masked secrets."""
    return " ".join(unkeyed(text).casefold().split())


_SHOWN = 80


def _problem(match: Match, details: FailureDetails, key: str) -> str:
    wanted, found = getattr(match, key), getattr(details, key)
    if key == "message":
        text = folded(found)
        fits = any(folded(piece) in text for piece in wanted)
        return "" if fits else f"message {_quoted(found)}, expected {'|'.join(map(_quoted, wanted))}"
    if found in wanted:
        return ""
    expected = "|".join(map(str, wanted))
    return f"no {key}, expected {expected}" if found is None else f"{key} {found}, expected {expected}"


def _quoted(text: str) -> str:
    shown = " ".join(unkeyed(text).split())
    return f'"{shown}"' if len(shown) <= _SHOWN else f'"{shown[:_SHOWN]}…"'
