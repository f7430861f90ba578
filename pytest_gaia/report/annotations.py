"""Findings as workflow commands of GitHub Actions, which shows them at their lines of a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_gaia.preflight.findings import Finding

_WORDS = {"error": "error", "warning": "warning", "note": "notice"}


def github_annotations(findings: Iterable[Finding], prefix: str = "") -> list[str]:
    """Return one line a finding; ``prefix`` is the project's folder within its repository, such as ``services/``."""
    return [_annotation(each, prefix) for each in findings]


def _annotation(finding: Finding, prefix: str) -> str:
    properties = {
        "file": f"{prefix}{finding.place.file}",
        "line": str(finding.place.line),
        "title": f"gaia {finding.check}",
    }
    said = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in properties.items())
    message = f"{finding.text}. {finding.why}\nDo: {finding.mend}."
    return f"::{_WORDS[finding.severity]} {said}::{_escaped(message)}"


def _escaped(text: str, more: str = "") -> str:
    """Return ``text`` as the runner reads it back: its own signs and line ends written as per cent codes."""
    for sign in f"%\r\n{more}":
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text
