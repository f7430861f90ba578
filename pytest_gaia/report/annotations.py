"""Findings as workflow commands of GitHub Actions, which shows them at their lines of a pull request."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_gaia.preflight.findings import Finding
from pytest_gaia.printable import visible

_WORDS = {"error": "error", "warning": "warning", "note": "notice"}


def github_annotations(findings: Iterable[Finding], prefix: str = "") -> list[str]:
    """Return one line a finding; ``prefix`` is the project's folder within its repository, such as ``services/``."""
    return [_annotation(each, prefix) for each in findings]


def annotation(kind: str, title: str, message: str, file: str = "", line: int = 0) -> str:
    """Return one workflow command. ``kind`` is error, warning or notice; ``line`` counts from 1, 0 where it is not known."""
    place = {"file": file, "line": str(line) if line else ""} if file else {}
    properties = {**place, "title": title}
    said = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in properties.items() if value)
    return f"::{kind} {said}::{_escaped(message)}"


def _annotation(finding: Finding, prefix: str) -> str:
    message = f"{finding.text}. {finding.why}\nDo: {finding.mend}."
    place = finding.place
    return annotation(_WORDS[finding.severity], f"gaia {finding.check}", message, f"{prefix}{place.file}", place.line)


def _escaped(text: str, more: str = "") -> str:
    """Return ``text`` as the runner reads it back: its own signs and line ends written as per cent codes."""
    text = visible(text)
    for sign in f"%\r\n{more}":
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text
