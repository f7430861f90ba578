"""Make the recording of a terminal: expected failures of staging, and the output of a failure."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ci.pictures.commands import ROOT, environ
from ci.pictures.frames import condensed
from ci.pictures.missing import Missing
from ci.pictures.recording import record
from ci.pictures.screen import frames_of
from ci.pictures.steady import Steady
from ci.pictures.svg import Drawing

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = (
    ("pytest --gaia-env=staging --gaia-simulate", 0),
    ("pytest --gaia-sandbox-without=chat suites/health", 1),
)
"""command line → exit code of its verdict"""
TITLE = (
    "A terminal. pytest runs every suite as it runs in staging, and the verdict is PROMOTE: expectations cover every "
    "failure. Then the health suite runs without the chat service, and the verdict is REJECT: each failure shows its "
    "exchange with the gateway."
)
# Plugins that only the tests of this project use.
_UNSEEN = ("allure_pytest", "hypothesispytest", "pytest_postgresql", "rerunfailures")


def make(folder: Path) -> list[Path]:
    """Record the commands, draw them, and return the files. Raise ``Missing`` if that fails."""
    recordings = []
    for shown, expected in COMMANDS:
        recording = record(shown, shlex.split(shown), cwd=ROOT, environ=_environ())
        if recording.exit_code != expected:
            raise Missing(f"`{shown}` ended with {recording.exit_code}, not {expected}, so the picture would be wrong.")
        recordings.append(recording)
    frames = condensed(frames_of(recordings, Steady()))
    files = {
        folder / "terminal.svg": Drawing().animated(frames, TITLE),
        folder / "terminal-still.svg": Drawing().still(frames, TITLE),
    }
    for file, text in files.items():
        file.write_text(text, encoding="utf-8")
    return list(files)


def _environ() -> dict[str, str]:
    return environ() | {"PYTEST_ADDOPTS": " ".join(f"-p no:{each}" for each in _UNSEEN)}
