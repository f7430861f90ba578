"""The end of a run in words: the verdict, the known defects that were met, and what did not apply and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.verdict.outcomes import KNOWN_DEFECT, NOT_APPLICABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_gaia.config.environment import Environment
    from pytest_gaia.verdict.defects import Defect
    from pytest_gaia.verdict.outcomes import Outcomes


def notes(outcomes: Outcomes, defects: Mapping[str, Defect]) -> list[str]:
    """Return a line for each known defect that was met and for each reason why checks did not apply."""
    return [
        *_section("known defects met", ((f"{each}: {defects[each].what}", n) for each, n in outcomes.defects.items())),
        *_section("not applicable", outcomes.not_applicable.items()),
    ]


def verdict_line(environment: Environment, outcomes: Outcomes) -> str:
    """Return the one line that says how the run ended."""
    counts = outcomes.counts
    extra = [f"{counts[each]} {each}" for each in (KNOWN_DEFECT, NOT_APPLICABLE) if counts[each]]
    verdict = outcomes.verdict
    return f"gaia verdict: {verdict.word} on {environment.label}: {', '.join([verdict.why, *extra])}"


def _section(title: str, rows: Iterable[tuple[str, int]]) -> list[str]:
    lines = [f"  {count:>3} × {text}" for text, count in rows]
    return [f"gaia: {title}", *lines] if lines else []
