"""The suites see what is wrong: every fault of a table turns a check of the right suite red."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.suites.conftest import run_suites
from tests.suites.mutating import HEALED, VARIABLE
from tests.suites.mutations import MUTATIONS

if TYPE_CHECKING:
    from tests.suites.conftest import Check
    from tests.suites.mutations import Mutation


@pytest.fixture(scope="module")
def caught(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """Fault → the first check that failed under it, or None."""
    file = tmp_path_factory.mktemp("mutations") / "caught.json"
    result = run_suites("suites", "-q", "-p", "tests.suites.mutating", variables={VARIABLE: str(file)})
    assert file.exists(), result.stdout + result.stderr
    found: dict[str, str | None] = json.loads(file.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.id)
def test_a_fault_is_seen(caught: dict[str, str | None], mutation: Mutation) -> None:
    assert caught[mutation.id], "no check of the suite failed"


def test_nothing_fails_without_a_fault(caught: dict[str, str | None]) -> None:
    assert caught[HEALED] is None


def test_every_suite_is_tried(checks: list[Check]) -> None:
    tried = Counter(mutation.suite for mutation in MUTATIONS)
    assert tried.keys() == {check.suite for check in checks}
    assert len({mutation.id for mutation in MUTATIONS}) == len(MUTATIONS)
