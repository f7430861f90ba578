"""The last words of a run on the terminal: after all that pytest says, with the verdict at the very end."""

from collections.abc import Iterable, Sequence

import pytest

from pytest_gaia.plugin.terminal.ci import Actions
from pytest_gaia.plugin.terminal.progress import begin_line
from pytest_gaia.report import footer
from pytest_gaia.report.footer import Layout
from pytest_gaia.report.layout import NARROWEST
from pytest_gaia.verdict.judged import Judged


class LastWords:
    """Writes them once. With ``-q`` they are one line, with ``-v`` they name every test that is not simply passed."""

    def __init__(self, config: pytest.Config, label: str, actions: Actions | None = None) -> None:
        """``label`` is the environment as people should read it; ``actions``, the step of GitHub's that this run is."""
        self._config = config
        self._label = label
        self._actions = actions

    @property
    def terminal(self) -> pytest.TerminalReporter | None:
        """pytest's terminal, unless it is switched off."""
        return self._config.pluginmanager.get_plugin("terminalreporter")

    def refuse(self, mistake: str) -> None:
        """A user's mistake has ended the run: there is no verdict."""
        self._write([f"ERROR: {mistake}"], red=True)

    def say(self, judged: Judged, noted: Iterable[str], unwritten: Iterable[str]) -> None:
        """Write what the verdict rests on, what could not be written, and the verdict."""
        terminal = self.terminal
        unsaid = self._actions.summarise(judged, self._label) if self._actions else ""
        if terminal is None:
            return
        layout = _layout(terminal)
        quiet = terminal.verbosity < 0 or terminal.no_summary
        if not quiet:
            self._write(footer.gating(judged, shown=_failures(terminal), layout=layout), red=True)
            self._write([*footer.notes(judged, layout), *(f"gaia: {sentence}" for sentence in noted)], yellow=True)
        if self._actions:
            begin_line(terminal)
            self._actions.annotate(judged, self._label, terminal)
        if unsaid:
            self._write([f"gaia: warning: {unsaid}"], yellow=True)
        for message in unwritten:
            self._write([f"ERROR: {message}"], red=True)
        lines = footer.verdict_lines(self._label, judged, layout)
        if quiet:
            # Whoever asks for one line gets one, however long it is.
            lines = [footer.verdict_line(self._label, judged)]
        colour = {"PROMOTE": "green", "PARTIAL": "yellow"}.get(judged.verdict.word, "red")
        begin_line(terminal)
        for line in lines:
            terminal.write_line(line, **{colour: True})

    def _write(self, lines: Sequence[str], **title: bool) -> None:
        """Write lines, of which those that are not indented are titles."""
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
    """The tests that pytest itself has shown to fail; a skip or a retry gates without a word of pytest's."""
    reports = (report for kind in ("failed", "error") for report in terminal.stats.get(kind, ()))
    return frozenset(report.nodeid for report in reports)
