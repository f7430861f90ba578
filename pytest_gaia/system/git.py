"""git, run in one way: it asks nobody, writes nothing by merely looking, and sees commits as they are."""

import math
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pytest_gaia.system.processes import completed, without_signing_key

_ENVIRON = {
    "LC_ALL": "C",
    # No question is ever asked of a terminal: a CI job would hang on it.
    "GIT_TERMINAL_PROMPT": "0",
    # git status would refresh the index, and stand in the way of another git.
    "GIT_OPTIONAL_LOCKS": "0",
    # What this clone has put in the place of objects (git replace) is not what they are.
    "GIT_NO_REPLACE_OBJECTS": "1",
}


def git(
    folder: Path,
    *arguments: str,
    given: bytes = b"",
    environ: Mapping[str, str] | None = None,
    seconds: float = math.inf,
) -> subprocess.CompletedProcess[bytes]:
    """Run git in the repository around ``folder``; return what it said, and how it ended. ``environ`` is added to its variables.

    It does not get the signing key: hooks, filters and helpers of a clone are programs of anybody. Raises ``FileNotFoundError``
    where git is not installed, and ``subprocess.TimeoutExpired``.
    """
    variables = without_signing_key(os.environ) | _ENVIRON | dict(environ or {})
    return completed(["git", "-C", str(folder), *arguments], given=given, environ=variables, seconds=seconds)


def said(found: subprocess.CompletedProcess[bytes], line: int = -1) -> str:
    """Return one line of what git said went wrong: its last, or the ``line`` that is asked for."""
    lines = found.stderr.decode(errors="replace").strip().splitlines()
    return lines[line].removeprefix("fatal: ").rstrip(".") if lines else f"it ended with {found.returncode}"
