"""Every way around a promotion, the ledger and results logs has its correct result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ci.ways.release import Releases, Step, steps

if TYPE_CHECKING:
    from collections.abc import Iterator


def parameters() -> list[Any]:
    """Return every way; those that promote are slow."""
    slow = pytest.mark.slow("processes")
    return [
        pytest.param(step, id=step.id, marks=[slow] if step.is_long or step.state == "promoted" else [])
        for step in steps()
    ]


@pytest.fixture(scope="module")
def releases() -> Iterator[Releases]:
    with Releases() as releases:
        yield releases


@pytest.mark.parametrize("step", parameters())
def test_a_way_has_its_correct_result(step: Step, releases: Releases) -> None:
    assert releases.wrong(step) == []


def test_a_way_that_ends_with_0_says_why() -> None:
    rows = steps()

    assert [each.id for each in rows if (each.exit == 0) != bool(each.right or each.possible)] == []
    assert len({each.id for each in rows}) == len(rows)
