"""Nothing that pytest shows, keeps or sends holds a secret: reports, ids of tests, warnings, errors of its own, properties in JUnit."""

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
"""what cannot hold a secret"""
_SHOWN = 20
_TICK = 1.0
"""seconds by which the clock of a file system may be behind"""


class RedactionHooks:
    """Registered in every process of a run; a worker masks before it sends."""

    def __init__(self, run: Run, config: pytest.Config) -> None:
        self._run = run
        self._config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """From now on pytest logs into its file."""
        mask_log_file(self._config, self._run.shown)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Innermost wrapper: ``--lf``, ``-k``, the command line and workers all know tests by their masked ids."""
        report = yield
        if report.result:
            mask_ids([node for node in report.result if isinstance(node, pytest.Item)], self._mask)
        if report.longrepr is not None or report.sections:
            mask_report(report, self._show)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """A warning can quote what it warns of."""
        text = str(warning_message.message)
        masked = self._show(text)
        if masked != text:
            warning_message.message = _warning(warning_message.category, masked)

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excrepr: TerminalRepr) -> None:
        """A worker sends its own errors as text."""
        masked_repr(excrepr, self._show)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """What tests say about the whole suite goes past their reports; a worker hands over what it has learnt."""
        junit = junit_of(self._config)
        if junit is not None:
            junit.global_properties[:] = [(name, self._run.shown(value)) for name, value in junit.global_properties]
        if self._run.is_worker:
            tell_secrets(self._config, self._run.redactor.named)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """The controller looks through the files at the end, for what its workers know as well."""
        self._run.redactor.learn_all(secrets_of_worker(node))

    def _mask(self, text: str) -> str:
        # Asked for only now: a run that shows nothing need not find out what is secret.
        return self._run.redactor.text(text)

    def _show(self, text: str) -> str:
        return self._run.shown(text, colours=has_colours(self._config))


def has_colours(config: pytest.Config) -> bool:
    """Whether pytest writes colours into its reports."""
    return config.pluginmanager.has_plugin("terminalreporter") and config.get_terminal_writer().hasmarkup


def mask_report(report: pytest.TestReport | pytest.CollectReport, mask: Callable[[str], str]) -> None:
    """Mask everything in a report that people read."""
    report.longrepr = masked_repr(report.longrepr, mask)
    report.sections = [(mask(heading), mask(content)) for heading, content in report.sections]
    if isinstance(report, pytest.TestReport):
        report.user_properties = [(mask(name), _property(value, mask)) for name, value in report.user_properties]
        if hasattr(report, "wasxfail"):
            report.wasxfail = mask(str(report.wasxfail))


def masked_repr(value: Any, mask: Callable[[str], str]) -> Any:
    """Return pytest's picture of a failure with every text in it masked; its objects stay those that they are."""
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
    """Mask lines together: a private key goes over several. Python's own tracebacks have line ends in them."""
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
        # Its class wants to be made of something else.
        return UserWarning(f"{category.__name__}: {text}")
    return warning if str(warning) == text else UserWarning(f"{category.__name__}: {text}")


def mask_ids(items: Sequence[pytest.Item], mask: Callable[[str], str]) -> None:
    """Mask the parameters in the ids of the ``items`` of one file or class, where they hold a secret.

    In the ids of one function the first secret is ``***1***``, the next one ``***2***``: numbers are the same in every
    run, and by its id rules, plans, ``--lf`` and other runs know a test.
    """
    parametrised = [item for item in items if "[" in item.name]
    together = "\n".join(item.name for item in parametrised)
    # Nearly always there is nothing, and one look is enough.
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
    """Return the exit code that what was written asks for: 0 where it holds no secret, that of HOLD where it does.

    The verdict file says HOLD then too, so that nobody promotes by it.
    """
    try:
        found = leaks(
            [*result.written, *filter(None, (cache_folder(config),))], run.redactor, since=result.began - _TICK
        )
    except OSError as error:
        return _hold(result, "what was written cannot be looked through", f"gaia: HOLD: looking for secrets: {error}.")
    return _hold(result, "the run has written secrets", _message(found, config.invocation_params.dir)) if found else 0


def _message(found: Sequence[Leak], folder: Path) -> str:
    places = counted(len(found), "place")
    lines = [
        f"gaia: HOLD: the run has written secrets, in {places}. They are masked there now; a compressed file is removed.",
        *(f"  {os.path.relpath(each.path, folder)}:{each.line}: {each.name}" for each in found[:_SHOWN]),
    ]
    if len(found) > _SHOWN:
        lines.append(f"  and {len(found) - _SHOWN} more")
    lines.append(
        "Something wrote there that does not go through pytest's reports: a plugin, or a test. Find it, and make the "
        "secret a new one if the file has been seen."
    )
    return "\n".join(lines)


def _hold(result: Result, reason: str, message: str) -> int:
    result.withhold(reason)
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
    return EXIT_CODES["HOLD"]


class MaskedStream(SafeStream):
    """A text stream that masks what is written, and then writes it as a stream for text of any origin does."""

    def __init__(self, stream: Any, mask: Callable[[str], str]) -> None:
        super().__init__(stream)
        self._mask = mask
        # pytest flushes after each letter.
        self.flush = stream.flush

    def safe(self, text: str) -> str:
        """Return ``text`` as it is written now."""
        # The letter of a test that passes must cost nothing.
        return super().safe(text if len(text) < SHORTEST else self._mask(text))


class MaskedFormatter:
    """A formatter of :mod:`logging` that masks what another one has made of a record, which others go on to see."""

    def __init__(self, formatter: logging.Formatter, mask: Callable[[str], str]) -> None:
        self._formatter = formatter
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        return self._mask(self._formatter.format(record))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._formatter, name)


def mask_terminal(config: pytest.Config, mask: Callable[[str], str]) -> None:
    """Mask what pytest writes to the terminal, and what tests print where nothing captures it."""
    if not hasattr(config, "workerinput") and config.pluginmanager.hasplugin("terminalreporter"):
        wrap_terminal(config, lambda stream: MaskedStream(stream, mask))
    # Without pytest's own plugin for it (-p no:capture) there is no such option, and nothing is captured.
    capture = getattr(config.option, "capture", "no")
    if capture == "no":
        _mask_standard(config, mask)
    elif capture == "tee-sys":
        wrap_tee(config, lambda stream: MaskedStream(stream, mask))


def commands_of(config: pytest.Config) -> AbstractContextManager[None]:
    """Return a context in which lines on the terminal may be commands of GitHub Actions."""
    return commands(terminal_stream(config))


def mask_log_file(config: pytest.Config, mask: Callable[[str], str]) -> None:
    """Mask what ``--log-file`` takes; tests that look at log records see them as they are."""
    if (handler := log_file_handler(config)) is not None:
        handler.setFormatter(MaskedFormatter(handler.formatter, mask))


def _mask_standard(config: pytest.Config, mask: Callable[[str], str]) -> None:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (MaskedStream(stream, mask) for stream in before)

    def restore() -> None:
        sys.stdout, sys.stderr = before

    config.add_cleanup(restore)
