"""Findings as SARIF 2.1.0 and as GitLab code quality, which show them next to the lines of a file."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from pytest_gaia.preflight.findings import Check, Finding, Severity

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ROOT = "%SRCROOT%"


def sarif(
    findings: Sequence[Finding], checks: Sequence[Check], *, tool: str, version: str, prefix: str = ""
) -> dict[str, Any]:
    """Return one log with one run: all ``checks`` as rules, and ``findings`` as results.

    ``tool`` is the command, ``version`` is this package's; ``prefix`` is the project's folder within its repository, such as ``services/``.
    """
    rules = {each.id: number for number, each in enumerate(checks)}
    driver = {
        "name": tool,
        "semanticVersion": version,
        "informationUri": "https://pypi.org/project/pytest-gaia/",
        "rules": [_rule(each) for each in checks],
    }
    results = [_result(each, rules[each.check], prefix) for each in findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


_GITLAB: dict[Severity, str] = {"error": "critical", "warning": "major", "note": "info"}


def code_quality(findings: Sequence[Finding], prefix: str = "") -> list[dict[str, Any]]:
    """Return a code quality report of GitLab; ``prefix`` is as for :func:`sarif`."""
    return [
        {
            "description": f"{each.text}. Fix: {each.fix}.",
            "check_name": each.check,
            "fingerprint": _fingerprint((each.check, each.place.file, each.text)),
            "severity": _GITLAB[each.severity],
            "location": {"path": f"{prefix}{each.place.file}", "lines": {"begin": each.place.line}},
        }
        for each in findings
    ]


def _rule(check: Check) -> dict[str, Any]:
    return {
        "id": check.id,
        "name": "".join(word.capitalize() for word in check.id.split("-")),
        "shortDescription": {"text": f"{check.title}."},
        "fullDescription": {"text": check.why},
        "help": {"text": f"{check.title}. {check.why}" + (f" Fix: {check.fix}." if check.fix else "")},
        "defaultConfiguration": {"level": check.severity},
        "properties": {"tags": [check.topic]},
    }


def _result(finding: Finding, rule: int, prefix: str) -> dict[str, Any]:
    location = {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(f"{prefix}{finding.place.file}"), "uriBaseId": _ROOT},
            "region": {"startLine": finding.place.line},
        }
    }
    return {
        "ruleId": finding.check,
        "ruleIndex": rule,
        "level": finding.severity,
        "message": {"text": f"{finding.text}. {finding.why} Fix: {finding.fix}."},
        "locations": [location],
        "partialFingerprints": {"gaiaFinding/v1": _fingerprint((finding.check, finding.place.file, finding.text))},
    }


def _fingerprint(parts: Iterable[str]) -> str:
    """Return an identifier that stays the same when lines move, so that a known finding is not shown as new."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
