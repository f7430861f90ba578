"""The end of a run: summary and verdict on the terminal, output for GitHub Actions, and the file of ``--junitxml``."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from pytest_gaia.files.writing import write_file
from pytest_gaia.plugin.masking import commands_of
from pytest_gaia.plugin.pytest_private import bin_xml_escape, junit_of, mangle_test_address
from pytest_gaia.plugin.terminal.progress import begin_line
from pytest_gaia.report import footer
from pytest_gaia.report.footer import Layout
from pytest_gaia.report.junit import Address, settle
from pytest_gaia.report.layout import NARROWEST
from pytest_gaia.verdict.evaluated import EvaluatedRun

if TYPE_CHECKING:
    # Only runs on GitHub import it.
    from pytest_gaia.report.github import Step


class RunSummary:
    """Prints the summary: with ``-q``, the verdict and what is gone; with ``-v``, every test that did not simply pass."""

    def __init__(self, config: pytest.Config, label: str, actions: Actions | None = None) -> None:
        """``label`` is the display name of the environment; ``actions`` is the step of GitHub Actions, if any."""
        self._config = config
        self._label = label
        self._actions = actions

    @property
    def terminal(self) -> pytest.TerminalReporter | None:
        """pytest's terminal, unless it is switched off."""
        return self._config.pluginmanager.get_plugin("terminalreporter")

    def print_usage_error(self, usage_error: str) -> None:
        """Print a usage error, which ends a run without a verdict."""
        self._write([f"ERROR: {usage_error}"], red=True)

    def print(self, evaluated: EvaluatedRun, noted: Iterable[str], unwritten: Iterable[str]) -> None:
        """Print the basis of the verdict, files that could not be written, and the verdict."""
        terminal = self.terminal
        unsaid = self._actions.summarise(evaluated, self._label) if self._actions else ""
        if terminal is None:
            return
        layout = _layout(terminal)
        quiet = terminal.verbosity < 0 or terminal.no_summary
        if not quiet:
            self._write(footer.blocking(evaluated, shown=_failures(terminal), layout=layout), red=True)
            self._write([*footer.notes(evaluated, layout), *(f"gaia: {sentence}" for sentence in noted)], yellow=True)
        self._write(footer.in_one_line(evaluated) if quiet and not terminal.no_summary else (), red=True)
        if self._actions:
            begin_line(terminal)
            self._actions.annotate(evaluated, self._label, terminal)
        if unsaid:
            self._write([f"gaia: warning: {unsaid}"], yellow=True)
        for message in unwritten:
            self._write([f"ERROR: {message}"], red=True)
        lines = footer.verdict_lines(self._label, evaluated, layout)
        if quiet:
            lines = footer.quiet_lines(self._label, evaluated)
        colour = {"PROMOTE": "green", "PARTIAL": "yellow"}.get(evaluated.verdict.word, "red")
        begin_line(terminal)
        for line in lines:
            terminal.write_line(line, **{colour: True})

    def _write(self, lines: Sequence[str], **title: bool) -> None:
        """Write lines; those without indentation are titles."""
        terminal = self.terminal
        if terminal is None or not lines:
            return
        begin_line(terminal)
        for line in lines:
            terminal.write_line(line, **({} if line.startswith(" ") else title))


def _layout(terminal: pytest.TerminalReporter) -> Layout:
    width = max(NARROWEST, terminal.config.get_terminal_writer().fullwidth)
    loud = terminal.verbosity > 0
    return Layout(width, expected=loud or terminal.hasopt("x"), inapplicable=loud or terminal.hasopt("s"))


def _failures(terminal: pytest.TerminalReporter) -> frozenset[str]:
    """Return the tests that pytest has shown as failed. It does not show a skip or a retry that blocks."""
    reports = (report for kind in ("failed", "error") for report in terminal.stats.get(kind, ()))
    return frozenset(report.nodeid for report in reports)


@dataclass(frozen=True, slots=True)
class Actions:
    """The output of a run in a step of GitHub Actions."""

    step: Step
    mask: Callable[[str], str]

    @classmethod
    def of(cls, root: Path, mask: Callable[[str], str]) -> Actions | None:
        """Return the step of this run, if it is one. A run that a test starts is not, although it inherits variables."""
        if os.environ.get("GITHUB_ACTIONS") != "true" or "PYTEST_CURRENT_TEST" in os.environ:
            return None
        # Only on GitHub, and before tests could change how modules are found.
        from pytest_gaia.report.github import Step

        return cls(Step.of(root, os.environ), mask)

    def annotate(self, evaluated: EvaluatedRun, label: str, terminal: pytest.TerminalReporter) -> None:
        """Write the annotations, each on a line without colors, for the runner."""
        from pytest_gaia.report.github import run_annotations

        with commands_of(terminal.config):
            for line in run_annotations(evaluated, label, dict(_places(terminal)), self.step.prefix):
                terminal.write_line(self.mask(line))

    def summarise(self, evaluated: EvaluatedRun, label: str) -> str:
        """Add the run to the step's summary; return an error message if it cannot be written, which does not matter."""
        return self.step.summarise(evaluated, label, self.mask)


def _places(terminal: pytest.TerminalReporter) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield file and line of each failure: the line of the test's statement if the report shows it."""
    for kind in ("failed", "error", "unexpected pass"):
        for report in terminal.stats.get(kind, ()):
            file, line, _ = report.location or (report.nodeid.partition("::")[0], None, "")
            yield report.nodeid, (Path(file).as_posix(), _line(report, file) or (line or 0) + 1)


def _line(report: Any, file: str) -> int:
    traceback = getattr(report.longrepr, "reprtraceback", None)
    locations = (getattr(entry, "reprfileloc", None) for entry in getattr(traceback, "reprentries", ()))
    return next((each.lineno for each in locations if each is not None and Path(each.path).name == Path(file).name), 0)


def rewrite_junit(config: pytest.Config, evaluated: EvaluatedRun, logs: Mapping[str, str]) -> str:
    """Rewrite the JUnit file, if there is one; return an error message if it cannot be written.

    ``logs`` are the log lines of failing tests.
    """
    junit = junit_of(config)
    if junit is None:
        return ""
    path = Path(junit.logfile)
    if not path.is_file():
        # A device; or an internal error of pytest prevented the file.
        return ""
    try:
        # Written by this process.
        document = ET.parse(path)  # noqa: S314
        addresses = {each.node: _address(each.node, junit.prefix) for each in evaluated.classifications}
        settle(document.getroot(), evaluated, addresses, logs, strict=junit.family == "xunit2")
        text = ET.tostring(document.getroot(), encoding="unicode")
        # With the mode that pytest gave it, because other users may read it.
        place = path.resolve()
        write_file(place, f'<?xml version="1.0" encoding="utf-8"?>{text}', mode=stat.S_IMODE(place.stat().st_mode))
    except (OSError, ET.ParseError) as error:
        return f"--junitxml={path}: cannot be written: {error}."
    return ""


def _address(node: str, prefix: str | None) -> Address:
    """Return class name and name of a test in pytest's file."""
    *classes, name = mangle_test_address(node)
    return ".".join([prefix, *classes] if prefix else classes), bin_xml_escape(name)
