"""What a run prints about its concurrent tests before the first one: why there are none, and which tests are serial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from pytest_gaia.plugin.checks.phases import EVIDENCE
from pytest_gaia.plugin.concurrency.facts import Reader
from pytest_gaia.plugin.concurrency.private import obstacle
from pytest_gaia.run.session import Run
from pytest_gaia.wording import counted


class SequentialHooks:
    """Registered if tests cannot be concurrent."""

    def __init__(self, why: str) -> None:
        self._why = why

    def pytest_report_header(self) -> list[str]:
        """Say why tests are not concurrent."""
        return [f"gaia: tests are not concurrent: {self._why}"]


class ExplanationHooks:
    """Registered with ``--collect-only``: prints how many tests may be concurrent, and with ``-v`` why the others are serial."""

    def __init__(self, config: pytest.Config, run: Run) -> None:
        self._config = config
        self._limit = run.declared.concurrency
        self._reader = Reader(config, run.declared.platform)
        self._reasons: Mapping[str, str] = {}
        """serial test → why"""

    def pytest_report_collectionfinish(self, items: Sequence[pytest.Item]) -> list[str]:
        """Say how many tests may be concurrent."""
        if self._config.get_verbosity() < 0 or not items:
            return []
        reasons = {item.nodeid: self._reader.serial_reason(item, item.stash[EVIDENCE].traits.needs) for item in items}
        self._reasons = {node: reason for node, reason in reasons.items() if reason}
        alone, several = len(self._reasons), len(reasons) - len(self._reasons)
        line = f"gaia: {several} of {counted(len(reasons), 'test')} run concurrently, {self._limit} at a time; {alone} run alone"
        return [line if self._config.get_verbosity() > 0 or not alone else f"{line} (-v shows why)"]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self) -> None:
        """Say why the others are serial, after pytest has listed the tests."""
        terminal: pytest.TerminalReporter | None = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None or not self._reasons or self._config.get_verbosity() <= 0:
            return
        terminal.write_line(f"gaia: {counted(len(self._reasons), 'test')} run alone:")
        for node, reason in self._reasons.items():
            terminal.write_line(f"  {node}: {reason}")


def introduction(config: pytest.Config, run: Run) -> SequentialHooks | ExplanationHooks | None:
    """Return the hooks that explain the concurrency of ``run``, if there is something to explain.

    If tests cannot be concurrent, ``run`` is a run with one test at a time from now on.
    """
    if why := obstacle(config):
        run.declared = replace(run.declared, concurrency=1)
        return SequentialHooks(why)
    return ExplanationHooks(config, run) if config.option.collectonly and not run.is_worker else None
