"""Every way to write in an environment where writing is forbidden has its correct outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ways.tries import check, parameters

if TYPE_CHECKING:
    from pathlib import Path

    from ci.ways.table import Way


@pytest.mark.parametrize(("way", "number"), parameters("writes"))
def test_a_way_has_its_correct_outcome(way: Way, number: str, tmp_path: Path) -> None:
    check(way, number, tmp_path)
