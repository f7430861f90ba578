"""From a judged run to what each of its results has to say."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pytest_gaia.report.allure.outcomes import ExpectedAs, Telling, tell
from pytest_gaia.verdict.judged import Judged, worst_of_each


def tellings(judged: Judged, expected_as: ExpectedAs) -> Iterator[tuple[str, Telling]]:
    """Yield each node of the run once, with what Allure is told of it. What the user left out is left out."""
    rules = {rule.id: rule for rule in judged.rules}
    away = judged.verdict.reasons[0] if judged.verdict.word == "INFRA" else ""
    for judgement in worst_of_each(judged.judgements):
        told = judgement
        if judgement.outcome == "incomplete" and away:
            # Readers ask why, and the answer is the same for all.
            told = msgspec.structs.replace(judgement, why=f"{judgement.why}\ngaia: infrastructure: {away}")
        yield judgement.node, tell(told, rules, expected_as)
