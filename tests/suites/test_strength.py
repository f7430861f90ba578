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
    from pathlib import Path

    from tests.suites.conftest import Check


# One test of each release, so that two workers do not both try all faults.
@pytest.mark.slow("suites")
@pytest.mark.parametrize("api", MUTATIONS)
def test_every_fault_is_seen_and_nothing_else(tmp_path: Path, api: str) -> None:
    file = tmp_path / "caught.json"
    options = ["-p", "tests.suites.mutating", f"--gaia-sandbox-api={api}"]
    result = run_suites("suites", "-q", *options, variables={VARIABLE: str(file)})
    assert file.exists(), result.stdout + result.stderr
    caught: dict[str, str | None] = json.loads(file.read_text(encoding="utf-8"))
    assert caught.pop(HEALED) is None
    assert caught.keys() == {mutation.id for mutation in MUTATIONS[api]}
    assert [fault for fault, check in caught.items() if check is None] == []


def test_every_suite_is_tried(checks: list[Check]) -> None:
    tried = Counter(mutation.suite for mutations in MUTATIONS.values() for mutation in mutations)
    assert tried.keys() == {check.suite for check in checks}
    for mutations in MUTATIONS.values():
        assert len({mutation.id for mutation in mutations}) == len(mutations)
