"""Outcomes of tests in a separate process."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from tests.suites.conftest import RUN_ELSEWHERE, run_suites

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


NOT_OFFERED = "does not (offer|run)|has no (kb|web)"
"""reasons of tests that do not apply to a release"""


@dataclass(frozen=True)
class Outcome:
    """``word`` is passed, failed, error or skipped; ``message`` is the text of the report."""

    word: str
    message: str = ""


@dataclass(frozen=True)
class Outcomes:
    """One run: exit code, output, and the outcome of each test by its id."""

    code: int
    output: str
    checks: Mapping[str, Outcome]

    def of(self, *words: str) -> set[str]:
        """Return the ids of all tests with one of these outcomes."""
        return {name for name, outcome in self.checks.items() if outcome.word in words}

    def inapplicable(self, reason: str = NOT_OFFERED) -> set[str]:
        """Return the ids of the tests that were not applicable for a reason, by default that the release lacks something."""
        wanted = re.compile(f"not applicable: .*({reason})")
        return {name for name in self.of("skipped") if wanted.search(self.checks[name].message)}


def run(directory: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> Outcomes:
    """Run the suites with these arguments; ``directory`` is for the report. Suites that other tests run do not count."""
    report = directory / "report.xml"
    result = run_suites("suites", "-q", "--tb=short", f"--junitxml={report}", *arguments, variables=variables)
    # This test has just written the report.
    cases = ElementTree.parse(report).iter("testcase") if report.exists() else ()
    found = dict(_outcome(case) for case in cases)
    met = {name: outcome for name, outcome in found.items() if name.split("/")[1] not in RUN_ELSEWHERE}
    return Outcomes(result.returncode, result.stdout + result.stderr, met)


def _outcome(case: ElementTree.Element) -> tuple[str, Outcome]:
    # With another root folder, ids begin below the suites.
    path = case.attrib["classname"].replace(".", "/").removeprefix("suites/")
    name = f"suites/{path}.py::{case.attrib['name']}"
    for tag, word in (("failure", "failed"), ("error", "error"), ("skipped", "skipped")):
        found = case.find(tag)
        if found is not None:
            return name, Outcome(word, f"{found.get('message')}\n{found.text}")
    return name, Outcome("passed")
