"""Select tests by a part of their node ID, by service, by marker, or all.

A part of a node ID matches at boundaries only: ``suites/persona`` does not cover ``suites/personas``, and ``test_a``
does not cover ``test_ab``. Wildcards do not exist, so that the more specific of two selectors is always known.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias

import msgspec

from pytest_gaia.expectations.subjects import FailureDetails, Subject
from pytest_gaia.secrets.masks import unkeyed

Rank: TypeAlias = tuple[int, int]
"""specificity: all < service, marker < folder < file < class < function < parameters"""

ALL, GROUP, PATH, NAME, PARAMETERS = range(5)

_KINDS = ("all", "group", "path", "name", "parameters")


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
def parse(text: str) -> Selector:
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
