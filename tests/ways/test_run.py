"""Every way to a run without evidence has its correct outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ci.ways.table import ways
from ci.ways.trial import problems, tried
from tests.forking.runs import run_pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ci.ways.table import Way


def start(words: Sequence[str], folder: Path, environ: Mapping[str, str]) -> tuple[int, str]:
    """Start pytest in a fork."""
    assert words[0] == "pytest"
    done = run_pytest(folder, *words[1:], variables=environ)
    return done.returncode, done.stdout + done.stderr


def parameters() -> list[Any]:
    """Every way, with every number of concurrent tests that its row names."""
    found = []
    for way in ways("run"):
        for number in ("1", *way.also):
            marks = [pytest.mark.xfail(strict=True, reason=way.missing)] if way.missing else []
            if number.startswith("-n"):
                marks.append(pytest.mark.slow("workers"))
            found.append(pytest.param(way, number, id=f"{way.id}, {number}", marks=marks))
    return found


@pytest.mark.parametrize(("way", "number"), parameters())
def test_a_way_has_its_correct_outcome(way: Way, number: str, tmp_path: Path) -> None:
    seen = tried(way, tmp_path, number=number, start=start)

    assert problems(way, seen) == [], seen.output


def test_a_way_that_may_promote_says_why() -> None:
    rows = ways("run")

    assert [each.id for each in rows if (each.outcome == "PROMOTE") != bool(each.right or each.possible)] == []
    assert [each.id for each in rows if each.right and each.possible] == []
