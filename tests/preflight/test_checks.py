"""Every check finds what it is for, at its line, and passes over what only looks like it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.preflight.lint import ALL_CHECKS
from tests.preflight.not_wrong import NOT_WRONG
from tests.preflight.sets import MARK, changed, look, marked_line, spots
from tests.preflight.wrong_elsewhere import WRONG_ELSEWHERE
from tests.preflight.wrong_names import WRONG_NAMES
from tests.preflight.wrong_settings import WRONG_SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.preflight.cases import Case

FOUND = [*WRONG_NAMES, *WRONG_SETTINGS, *WRONG_ELSEWHERE]


def numbered(cases: list[Case]) -> list[str]:
    seen: Counter[str] = Counter()
    names = []
    for each in cases:
        seen[each.check] += 1
        names.append(f"{each.check}-{seen[each.check]}")
    return names


@pytest.mark.parametrize("case", FOUND, ids=numbered(FOUND))
def test_a_mistake_is_found_at_its_line(case: Case, tmp_path: Path) -> None:
    directory = changed(tmp_path, *case.changes)
    file = next(change.file for change in case.changes if MARK in change.new)

    found = spots(look(directory))

    assert (file, marked_line(directory, file), case.check) in found


@pytest.mark.parametrize("case", NOT_WRONG, ids=numbered(NOT_WRONG))
def test_what_only_looks_like_a_mistake_is_passed_over(case: Case, tmp_path: Path) -> None:
    found = look(changed(tmp_path, *case.changes))

    assert [each for each in found if each.check == case.check] == []


def test_every_check_is_tried_both_ways() -> None:
    every = {check.id for check in ALL_CHECKS}

    assert {case.check for case in FOUND} == every
    assert {case.check for case in NOT_WRONG} == every


def test_there_are_enough_checks_and_each_has_its_own_name() -> None:
    names = [check.id for check in ALL_CHECKS]

    assert len(names) == len(set(names)) > 25
