"""Which tests a rule is about: a piece of a node id, a service, a marker, or all.

A piece of a node id covers a test only at a boundary: ``suites/persona`` does not cover ``suites/personas``, and
``test_a`` does not cover ``test_ab``. There are no globs and no patterns, so that whether two rules overlap, and which
of them is more specific, is never a matter of opinion.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias

import msgspec

from pytest_gaia.expectations.subjects import FailureDetails, Subject
from pytest_gaia.secrets.masks import unkeyed

Rank: TypeAlias = tuple[int, int]
"""How specific a selector is; a total order: all < service, marker < folder < file < class < function < parameters."""

ALL, GROUP, PATH, NAME, PARAMETERS = range(5)

_KINDS = ("all", "group", "path", "name", "parameters")


class Selector(msgspec.Struct, frozen=True, gc=False):
    """One parsed selector. ``text`` is its canonical form: equal texts cover the same tests."""

    text: str
    rank: Rank

    @property
    def kind(self) -> str:
        """What it names: ``all``, ``service``, ``marker``, ``path``, ``name`` (class or function) or ``parameters``."""
        return self.text.partition(":")[0] if self.rank[0] == GROUP else _KINDS[self.rank[0]]

    def covers(self, subject: Subject) -> bool:
        """Whether ``subject`` is one of the tests that this selector is about."""
        return self.text in keys_of(subject)


@lru_cache(maxsize=16384)
def parse(text: str) -> Selector:
    """Return the selector that ``text`` stands for; raises ``ValueError`` that says what is wrong with it."""
    if text == "all":
        return Selector(text, (ALL, 0))
    if not text or text != text.strip():
        raise ValueError(f"{text!r} is empty, or has spaces at its ends")
    if text.startswith(("service:", "marker:")):
        if not text.partition(":")[2]:
            raise ValueError(f"{text!r} names nothing after the colon")
        return Selector(text, (GROUP, 0))
    return _parse_node(text)


def keys_of(subject: Subject) -> tuple[str, ...]:
    """Return the texts of all selectors that cover ``subject``, the most specific first."""
    return (*names_of(subject.node), *keys_around(subject))


def keys_around(subject: Subject) -> tuple[str, ...]:
    """Return those of :func:`keys_of` that cover more than its class: file, folders, members, markers, all."""
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
    # What stands in brackets is the user's: it may hold "::", "/" and brackets of its own.
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
        raise ValueError(f"{text!r} has an empty name beside a '::'")
    _check_globs(name, text)
    if bracket and not parameters.endswith("]"):
        raise ValueError(f"{text!r} opens a bracket and does not end with one")
    return Selector(text, (PARAMETERS, 0) if bracket else (NAME, name.count("::") + 1))


def _check_path(path: str) -> None:
    if "\\" in path:
        raise ValueError(f"{path!r} holds a backslash; node ids are written with '/'")
    if path.startswith("/") or path[1:2] == ":":
        raise ValueError(f"{path!r} is absolute; node ids are relative to the folder of gaia.toml")
    if not _NO_NAMES.isdisjoint(path.split("/")):
        raise ValueError(f"{path!r} holds an empty part, '.' or '..'; write it as pytest prints it")
    _check_globs(path, path)


_NO_NAMES = frozenset(("", ".", ".."))


def _check_globs(part: str, text: str) -> None:
    if "*" in part or "?" in part:
        raise ValueError(f"{text!r} holds a wildcard; name the folder, the file or the class that holds the tests")


Values: TypeAlias = tuple[str, ...]

CRASH = "crash"


class Match(msgspec.Struct, frozen=True, gc=False):
    """What a rule asks of a failure. A field that is empty asks nothing; a field with several values asks for one of them.

    A crash is never matched: it always gates.
    """

    kind: Values = ()
    status: tuple[int, ...] = ()
    service: Values = ()
    via: Values = ()
    route: Values = ()
    method: Values = ()
    message: Values = ()
    """pieces of the message; case and white space do not matter"""
    sqlstate: Values = ()
    nats: Values = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The fields that ask something."""
        return tuple(name for name in KEYS if getattr(self, name))


KEYS = Match.__struct_fields__


def mismatch(match: Match, details: FailureDetails) -> tuple[str, ...]:
    """Return what keeps ``symptom`` from matching, such as ``status 500, expected 404|503``; empty if it matches."""
    problems = [_problem(match, details, key) for key in match.keys]
    if details.kind == CRASH:
        problems.append("kind crash, which always gates")
    return tuple(problem for problem in problems if problem)


def folded(text: str) -> str:
    """Return ``text`` as messages are compared: lower case, every stretch of white space one space, secrets without
    the digests that every run makes anew.
    """
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
