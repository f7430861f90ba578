"""One judgement a test, for reports in which every test stands once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_gaia.verdict.judge import Judgement


def worst_of_each(judgements: Iterable[Judgement]) -> list[Judgement]:
    """Return the worst judgement of each test, in the order in which tests come first. Deselected ones are left out.

    A test is judged more than once if it ran on several workers, or ran to its end and took its worker down elsewhere.
    """
    worst: dict[str, Judgement] = {}
    for each in judgements:
        if each.outcome != "deselected" and (each.node not in worst or _badness(each) > _badness(worst[each.node])):
            worst[each.node] = each
    return list(worst.values())


def _badness(judgement: Judgement) -> tuple[bool, bool]:
    return judgement.gates, judgement.outcome != "passed"
