"""Tests whose programs are missing: skipped with a summary, or failed where they are required."""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


class Needing(NamedTuple):
    """Tests that need programs which not every machine has."""

    what: str
    """what the summary calls them: tests of ``what``"""
    required: str
    """set to ``required``, this variable turns skipped tests into failures, as in CI"""
    install: str
    """the command that installs what they need"""

    def leave_out(self, why: str, do: str = "") -> NoReturn:
        """Skip the test, or fail it if such tests are required."""
        do = do or f"`{self.install}` installs it"
        if os.environ.get(self.required) == "required":
            pytest.fail(f"{why}, and {self.required}=required: {do}.", pytrace=False)
        pytest.skip(f"tests of {self.what} left out: {why}; {do}")


PAGES = Needing("pages", "BROWSER_TESTS", "ci/setup browser")
ENGINE = Needing("a Docker engine", "DOCKER_TESTS", "ci/setup docker")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many tests were skipped, with the command that installs what they need."""
    reasons = (report.longrepr for report in terminalreporter.stats.get("skipped", []))
    matching: Callable[[str], re.Match[str] | None] = re.compile(
        r"Skipped: tests of (.+?) left out: (.+)", re.DOTALL
    ).match
    found = [matching(reason[2]) for reason in reasons if isinstance(reason, tuple)]
    for (what, why), count in sorted(Counter(each.groups() for each in found if each).items()):
        tests = f"1 test of {what} was" if count == 1 else f"{count} tests of {what} were"
        terminalreporter.write_line(f"{tests} left out: {why}.", yellow=True)
