"""Every way to a run without evidence has its correct outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.ways.table import ways, write_project
from pytest_gaia.config.project import Project
from pytest_gaia.preflight.suites import check_suites, read_suites
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


FOUND_IN_CODE = [pytest.param(way, id=way.id) for table in ("run", "writes") for way in ways(table) if way.check]


@pytest.mark.parametrize("way", FOUND_IN_CODE)
def test_a_way_is_found_in_the_code(way: Way, tmp_path: Path) -> None:
    write_project(way, tmp_path, {"url": "http://127.0.0.1:1"})

    assert way.check in [each.check for each in check_suites(read_suites(Project(tmp_path)))]
