"""Findings and differences of deploy files as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_gaia.preflight.difference import BY_NAME, Row
from pytest_gaia.preflight.findings import Finding, Severity
from pytest_gaia.printable import one_line
from pytest_gaia.wording import counted


def finding_lines(finding: Finding) -> list[str]:
    """Return ``finding`` as compilers write theirs, and below it why it matters and what to do."""
    place = f"{finding.place.file}:{finding.place.line}"
    lines = [
        f"{place}: {finding.severity}: {finding.check}: {finding.text}",
        f"    why: {finding.why}",
        f"    do:  {finding.mend}",
    ]
    return list(map(one_line, lines))


def summary(counts: Mapping[Severity, int], environments: Sequence[str]) -> str:
    """Return the last line: how much was found, and where it was looked."""
    where = ", ".join(environments)
    said = [counted(counts[severity], severity) for severity in ("error", "warning", "note") if counts.get(severity)]
    if said:
        return ", ".join(said) + (f" ({where})" if where else "")
    return f"Nothing wrong in the deploy files of {where}."


def row_cells(row: Row) -> tuple[str, str, str, str, str]:
    """Return one difference as cells of a table."""
    by = {None: "NO", BY_NAME: "by its name"}.get(row.allowed_by, f"yes ({row.allowed_by})")
    return row.service, row.aspect, _value(row.left), _value(row.right), by


def _value(text: str | None) -> str:
    return "-" if text is None else text
