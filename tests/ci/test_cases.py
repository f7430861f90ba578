"""``python -m ci.cases``: every command line of the table has its correct result, and a wrong one is reported."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from ci.cases.__main__ import Case, Healthy, cases, check, main

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with Healthy() as port:
        yield port


@pytest.mark.slow("processes")
@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.name)
def test_a_case_has_its_correct_result(case: Case, port: int) -> None:
    assert check(case, port) == []


def test_what_differs_from_the_correct_result_is_reported(port: int) -> None:
    case = Case("version", "gaia --version", exit=0, shows=["gaia"])
    assert check(case, port) == []
    wrong = dataclasses.replace(case, exit=1, shows=["nothing"], hides=["gaia"])
    assert check(wrong, port)[:3] == ["exit 0, not 1", "does not show: nothing", "shows: gaia"]


def test_a_word_that_no_case_has_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["xyzzy"]) == 4
    assert "xyzzy" in capsys.readouterr().err
