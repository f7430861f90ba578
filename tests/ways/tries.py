"""Tries of ways as parameters, in forks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ci.ways.table import Way, ways
from ci.ways.trial import problems, tried
from tests.forking.runs import run_pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


ALSO_EVERY_DAY = {
    "body-is-pass",
    "swallowed-by-except",
    "thread",
    "lost-task",
    "deselected-by-hook",
    "refusal-swallowed",
}
"""ways that the everyday tests try with concurrent tests, too: one of each kind"""


def parameters(table: str) -> list[Any]:
    """Return every way of a table, with every number of concurrent tests that its row names."""
    return [_parameter(way, number) for way in ways(table) for number in ("1", *way.also)]


def _parameter(way: Way, number: str) -> Any:
    marks = []
    if number.startswith("-n"):
        marks.append(pytest.mark.slow("workers"))
    elif number != "1" and way.id not in ALSO_EVERY_DAY:
        marks.append(pytest.mark.slow("matrix"))
    return pytest.param(way, number, id=f"{way.id}, {number}", marks=marks)


def check(way: Way, number: str, folder: Path) -> None:
    """Try a way, and fail if it does not have its correct outcome."""
    seen = tried(way, folder, number=number, start=_start)

    assert problems(way, seen) == [], seen.output


def _start(words: Sequence[str], folder: Path, environ: Mapping[str, str]) -> tuple[int, str]:
    assert words[0] == "pytest"
    done = run_pytest(folder, *words[1:], variables=environ)
    return done.returncode, done.stdout + done.stderr
