"""Every way to a run without evidence has its correct outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.ways.table import ways
from tests.ways.tries import check, parameters

if TYPE_CHECKING:
    from pathlib import Path

    from ci.ways.table import Way


@pytest.mark.parametrize(("way", "number"), parameters("run"))
def test_a_way_has_its_correct_outcome(way: Way, number: str, tmp_path: Path) -> None:
    check(way, number, tmp_path)


@pytest.mark.parametrize("table", ["run", "writes"])
def test_a_way_that_may_promote_says_why(table: str) -> None:
    rows = ways(table)

    assert [each.id for each in rows if (each.outcome == "PROMOTE") != bool(each.right or each.possible)] == []
    assert [each.id for each in rows if each.right and each.possible] == []
