"""Processes that are started: what they inherit, and waiting for them such that the main thread hears of signals."""

import math
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import AnyStr

from pytest_gaia.system.signals import ROUND, rounds

KEY_VARIABLE, KEY_FILE_VARIABLE = "GAIA_SIGNING_KEY", "GAIA_SIGNING_KEY_FILE"


def without_signing_key(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` as it is for everything that is started and does not sign."""
    return {name: value for name, value in environ.items() if name not in (KEY_VARIABLE, KEY_FILE_VARIABLE)}


def completed(
    command: Sequence[str],
    *,
    given: bytes = b"",
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = math.inf,
) -> subprocess.CompletedProcess[bytes]:
    """Run ``command`` to its end, without a shell; return what it wrote, and how it ended.

    It reads ``given``; its variables are ``environ``, or else those of this process without the signing key. It is killed when
    anything is raised here, and after ``seconds``: then it is ``subprocess.TimeoutExpired``. Raises ``FileNotFoundError``
    where there is no such program.
    """
    env = without_signing_key(os.environ) if environ is None else dict(environ)
    # A file, not a pipe: to go on writing to a pipe after a round is more than ``communicate`` can do.
    with tempfile.TemporaryFile() as source:
        source.write(given)
        source.seek(0)
        pipe = subprocess.PIPE
        # S603: callers say of what their words are made.
        with subprocess.Popen(command, stdin=source, stdout=pipe, stderr=pipe, env=env, cwd=cwd) as process:  # noqa: S603
            try:
                output, errors = _communicated(process, seconds)
            except BaseException:
                process.kill()
                raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def exit_code_of(process: subprocess.Popen[AnyStr]) -> int:
    """Wait until ``process`` has ended."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(ROUND)


def output_of(process: subprocess.Popen[AnyStr]) -> AnyStr:
    """Wait until ``process`` has ended; return what it wrote to its pipe."""
    return _communicated(process, math.inf)[0]


def _communicated(process: subprocess.Popen[AnyStr], seconds: float) -> tuple[AnyStr, AnyStr]:
    for each in rounds(seconds):
        # Nothing that was read is lost when the time passes.
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=each)
    raise subprocess.TimeoutExpired(process.args, seconds)
