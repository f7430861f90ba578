"""Masking of secrets in reports, test ids, warnings, terminal and log output, and the secret scan of outputs."""

import logging
import os
import re
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pytest_gaia.plugin.checks.result import Result
from pytest_gaia.plugin.pytest_private import (
    ReprFileLocation,
    TerminalRepr,
    cache_folder,
    junit_of,
    log_file_handler,
    rename_parameters,
    terminal_stream,
    wrap_tee,
    wrap_terminal,
)
from pytest_gaia.printable import SafeStream, commands
from pytest_gaia.run.session import Run
from pytest_gaia.run.workers import secrets_of_worker, tell_secrets
from pytest_gaia.secrets.forms import SHORTEST
from pytest_gaia.secrets.leaks import Leak, leaks
from pytest_gaia.secrets.masks import MASKED, ordinal_mask
from pytest_gaia.verdict.evaluated import EXIT_CODES
from pytest_gaia.wording import counted

_PLAIN = (int, float, type(None))
"""types that cannot contain a secret"""
_SHOWN = 20
_TICK = 1.0
"""possible lag of a file system's clock, in seconds"""


class RedactionHooks:
    """Registered in every process of a run; a worker masks before it sends reports."""

    def __init__(self, run: Run, config: pytest.Config) -> None:
        self._run = run
        self._config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Mask pytest's log file."""
        mask_log_file(self._config, self._run.shown)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Innermost wrapper: ``--lf``, ``-k``, the command line and workers use the masked ids."""
        report = yield
        if report.result:
            mask_ids([node for node in report.result if isinstance(node, pytest.Item)], self._mask)
        if report.longrepr is not None or report.sections:
            mask_report(report, self._show)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Mask warnings, which can quote values."""
        text = str(warning_message.message)
        masked = self._show(text)
        if masked != text:
            warning_message.message = _warning(warning_message.category, masked)

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excrepr: TerminalRepr) -> None:
        """Mask internal errors."""
        masked_repr(excrepr, self._show)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Mask suite properties in JUnit; pass a worker's secrets to the controller."""
        junit = junit_of(self._config)
        if junit is not None:
            junit.global_properties[:] = [(name, self._run.shown(value)) for name, value in junit.global_properties]
        if self._run.is_worker:
            tell_secrets(self._config, self._run.redactor.named)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over the secrets of a worker, because the controller scans the files at the end."""
        self._run.redactor.learn_all(secrets_of_worker(node))

    def _mask(self, text: str) -> str:
        # Only now, because a run without output need not load the secrets.
        return self._run.redactor.text(text)

    def _show(self, text: str) -> str:
        return self._run.shown(text, colors=has_colours(self._config))


def has_colours(config: pytest.Config) -> bool:
    """Whether pytest writes colors into its reports."""
    return config.pluginmanager.has_plugin("terminalreporter") and config.get_terminal_writer().hasmarkup


def mask_report(report: pytest.TestReport | pytest.CollectReport, mask: Callable[[str], str]) -> None:
    """Mask every readable part of a report."""
    report.longrepr = masked_repr(report.longrepr, mask)
    report.sections = [(mask(heading), mask(content)) for heading, content in report.sections]
    if isinstance(report, pytest.TestReport):
        report.user_properties = [(mask(name), _property(value, mask)) for name, value in report.user_properties]
        if hasattr(report, "wasxfail"):
            report.wasxfail = mask(str(report.wasxfail))


def masked_repr(value: Any, mask: Callable[[str], str]) -> Any:
    """Return pytest's representation of a failure with masked texts; objects are changed in place."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, tuple):
        return tuple(masked_repr(each, mask) for each in value)
    if isinstance(value, list):
        value[:] = (
            _masked_lines(value, mask)
            if all(isinstance(each, str) for each in value)
            else [masked_repr(each, mask) for each in value]
        )
    elif isinstance(value, TerminalRepr | ReprFileLocation):
        for name, part in vars(value).items():
            setattr(value, name, masked_repr(part, mask))
    return value


def _masked_lines(lines: list[str], mask: Callable[[str], str]) -> list[str]:
    """Mask lines together, because a private key has several. Lines of Python's tracebacks contain line breaks."""
    if any("\n" in line for line in lines):
        return [mask("".join(lines))]
    return mask("\n".join(lines)).split("\n") if lines else []


def _property(value: object, mask: Callable[[str], str]) -> object:
    if isinstance(value, _PLAIN):
        return value
    text = str(value)
    masked = mask(text)
    return masked if masked != text else value


def _warning(category: type[Warning], text: str) -> Warning:
    try:
        warning = category(text)
    except TypeError:
        # The class takes other arguments.
        return UserWarning(f"{category.__name__}: {text}")
    return warning if str(warning) == text else UserWarning(f"{category.__name__}: {text}")


def mask_ids(items: Sequence[pytest.Item], mask: Callable[[str], str]) -> None:
    """Mask secrets in the parameters of the ids of ``items``, which are from one file or class.

    The first secret of a function is ``***1***``, the next one ``***2***``. The numbers are the same in every run,
    because expectations, plans and ``--lf`` identify tests by id.
    """
    parametrised = [item for item in items if "[" in item.name]
    together = "\n".join(item.name for item in parametrised)
    # There is nearly never a secret, and one search for all is cheap.
    if not parametrised or mask(together) == together:
        return
    masks: defaultdict[str, _NumberedMasks] = defaultdict(lambda: _NumberedMasks(mask))
    for item in parametrised:
        rename_parameters(item, masks[item.name.partition("[")[0]])


class _NumberedMasks:
    """Masks the parameters of one function; the same secret has the same number in all of them."""

    def __init__(self, mask: Callable[[str], str]) -> None:
        self._mask = mask
        self._known: dict[str, int] = {}

    def __call__(self, parameter: str) -> str:
        return MASKED.sub(self._number, self._mask(parameter))

    def _number(self, found: re.Match[str]) -> str:
        return ordinal_mask(self._known.setdefault(found[0], len(self._known) + 1))


def scan_for_secrets(config: pytest.Config, run: Run, result: Result) -> int:
    """Scan written files for secrets; return 0 if there are none, and the exit code of HOLD otherwise.

    The verdict file is changed to HOLD, too, so that it cannot be used for a promotion.
    """
    traces = [record.trace_id for record in result.records if record.trace_id]
    paths = [*result.written, *filter(None, (cache_folder(config),))]
    try:
        found = leaks(paths, run.redactor, since=result.began - _TICK, traces=traces)
    except OSError as error:
        return _hold(result, "written files cannot be scanned for secrets", f"gaia: HOLD: scan for secrets: {error}.")
    return _hold(result, "the run wrote secrets", _message(found, config.invocation_params.dir)) if found else 0


def _message(found: Sequence[Leak], folder: Path) -> str:
    places = counted(len(found), "place")
    lines = [
        f"gaia: HOLD: the run wrote secrets in {places}. They are masked now; compressed files are removed.",
        *(f"  {os.path.relpath(each.path, folder)}:{each.line}: {each.name}" for each in found[:_SHOWN]),
    ]
    if len(found) > _SHOWN:
        lines.append(f"  and {len(found) - _SHOWN} more")
    lines.append(
        "A plugin or a test wrote them without pytest's reports. Find it, and replace the secret if anyone may have "
        "read the file."
    )
    return "\n".join(lines)


def _hold(result: Result, reason: str, message: str) -> int:
    result.withhold(reason)
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
    return EXIT_CODES["HOLD"]


class MaskedStream(SafeStream):
    """A text stream that masks secrets before it writes text safely."""

    def __init__(self, stream: Any, mask: Callable[[str], str]) -> None:
        super().__init__(stream)
        self._mask = mask
        # pytest flushes after each letter.
        self.flush = stream.flush

    def safe(self, text: str) -> str:
        """Return ``text`` in the form that is written."""
        # The letter of a passing test must cost nothing.
        return super().safe(text if len(text) < SHORTEST else self._mask(text))


class MaskedFormatter:
    """A formatter of :mod:`logging` that masks the text of another formatter, and leaves the record as it is."""

    def __init__(self, formatter: logging.Formatter, mask: Callable[[str], str]) -> None:
        self._formatter = formatter
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        return self._mask(self._formatter.format(record))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._formatter, name)


def mask_terminal(config: pytest.Config, mask: Callable[[str], str]) -> None:
    """Mask pytest's terminal output, and uncaptured output of tests."""
    if not hasattr(config, "workerinput") and config.pluginmanager.hasplugin("terminalreporter"):
        wrap_terminal(config, lambda stream: MaskedStream(stream, mask))
    # The option is missing with -p no:capture, which captures nothing.
    capture = getattr(config.option, "capture", "no")
    if capture == "no":
        _mask_standard(config, mask)
    elif capture == "tee-sys":
        wrap_tee(config, lambda stream: MaskedStream(stream, mask))


def commands_of(config: pytest.Config) -> AbstractContextManager[None]:
    """Return a context in which lines on the terminal may be commands of GitHub Actions."""
    return commands(terminal_stream(config))


def mask_log_file(config: pytest.Config, mask: Callable[[str], str]) -> None:
    """Mask the file of ``--log-file``; log records in tests stay as they are."""
    if (handler := log_file_handler(config)) is not None:
        handler.setFormatter(MaskedFormatter(handler.formatter, mask))


def _mask_standard(config: pytest.Config, mask: Callable[[str], str]) -> None:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (MaskedStream(stream, mask) for stream in before)

    def restore() -> None:
        sys.stdout, sys.stderr = before

    config.add_cleanup(restore)
