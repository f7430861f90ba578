"""The signature of a failure: how it must look for a rule to excuse it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

from pytest_gaia.config.secrets import unkeyed

if TYPE_CHECKING:
    from pytest_gaia.policy.subjects import Symptom

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


def mismatch(match: Match, symptom: Symptom) -> tuple[str, ...]:
    """Return what keeps ``symptom`` from matching, such as ``status 500, expected 404|503``; empty if it matches."""
    problems = [_problem(match, symptom, key) for key in match.keys]
    if symptom.kind == CRASH:
        problems.append("kind crash, which always gates")
    return tuple(problem for problem in problems if problem)


def folded(text: str) -> str:
    """Return ``text`` as messages are compared: lower case, every stretch of white space one space, secrets without
    the digests that every run makes anew.
    """
    return " ".join(unkeyed(text).casefold().split())


_SHOWN = 80


def _problem(match: Match, symptom: Symptom, key: str) -> str:
    wanted, found = getattr(match, key), getattr(symptom, key)
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
