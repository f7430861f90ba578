"""What GitHub Actions is told of a run: only by the process where the user is, and only by a run of the job's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gaia.plugin.masked_streams import commands_of
from pytest_gaia.report.github import SUMMARY_LIMIT, job_summary, run_annotations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest
    from _pytest.terminal import TerminalReporter

    from pytest_gaia.verdict.judged import Judged


@dataclass(frozen=True, slots=True)
class Actions:
    """One step of a job."""

    summary: Path | None
    """where the step's summary is collected"""
    prefix: str
    """the project's folder within the repository, such as ``services/``; empty at its root"""
    mask: Callable[[str], str]

    @classmethod
    def of(cls, config: pytest.Config, mask: Callable[[str], str]) -> Actions | None:
        """Return the step that this run is, if it is one. A run that a test has started is none, whatever it inherits."""
        if os.environ.get("GITHUB_ACTIONS") != "true" or "PYTEST_CURRENT_TEST" in os.environ:
            return None
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        return cls(Path(summary) if summary else None, _prefix(config.rootpath), mask)

    def annotate(self, judged: Judged, label: str, terminal: TerminalReporter) -> None:
        """Write the annotations, each at the beginning of a line and without colours: the runner reads them."""
        with commands_of(terminal.config):
            for line in run_annotations(judged, label, dict(_places(terminal)), self.prefix):
                terminal.write_line(self.mask(line))

    def summarise(self, judged: Judged, label: str) -> str:
        """Add the run to the step's summary; return why not, where it cannot be written. No verdict hangs on it."""
        if self.summary is None:
            return ""
        try:
            before = self.summary.stat().st_size if self.summary.exists() else 0
            text = self.mask(job_summary(judged, label, SUMMARY_LIMIT - before))
            with self.summary.open("a", encoding="utf-8", errors="replace") as file:
                file.write(text)
        except OSError as error:
            return f"GITHUB_STEP_SUMMARY={self.summary}: cannot be written: {error.strerror}"
        return ""


def _prefix(root: Path) -> str:
    workspace = Path(os.environ.get("GITHUB_WORKSPACE") or root)
    inside = root.relative_to(workspace).as_posix() if workspace in root.parents else "."
    return "" if inside == "." else f"{inside}/"


def _places(terminal: TerminalReporter) -> Iterator[tuple[str, tuple[str, int]]]:
    """Give the file of each failure, and its line: that of the check's own statement, where the report shows it."""
    for kind in ("failed", "error", "unexpected pass"):
        for report in terminal.stats.get(kind, ()):
            file, line, _ = report.location or (report.nodeid.partition("::")[0], None, "")
            yield report.nodeid, (Path(file).as_posix(), _line(report, file) or (line or 0) + 1)


def _line(report: Any, file: str) -> int:
    traceback = getattr(report.longrepr, "reprtraceback", None)
    locations = (getattr(entry, "reprfileloc", None) for entry in getattr(traceback, "reprentries", ()))
    return next((each.lineno for each in locations if each is not None and Path(each.path).name == Path(file).name), 0)
