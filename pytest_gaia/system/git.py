"""Run git without prompts, without side effects of reading, and without replaced objects."""

import math
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pytest_gaia.system.processes import completed, without_signing_key

_ENVIRON = {
    "LC_ALL": "C",
    # A prompt would block a CI job.
    "GIT_TERMINAL_PROMPT": "0",
    # Otherwise git status refreshes the index, and blocks other git processes.
    "GIT_OPTIONAL_LOCKS": "0",
    # Ignore replaced objects (git replace) of this clone.
    "GIT_NO_REPLACE_OBJECTS": "1",
}


def git(
    folder: Path,
    *arguments: str,
    given: bytes = b"",
    environ: Mapping[str, str] | None = None,
    seconds: float = math.inf,
) -> subprocess.CompletedProcess[bytes]:
    """Run git in the repository around ``folder``, and return its result. ``environ`` is added to its variables.

    It does not get the signing key, because hooks, filters and helpers of a clone may be untrusted. Raises
    ``FileNotFoundError`` if git is not installed, and ``subprocess.TimeoutExpired``.
    """
    variables = without_signing_key(os.environ) | _ENVIRON | dict(environ or {})
    return completed(["git", "-C", str(folder), *arguments], given=given, environ=variables, seconds=seconds)


def said(found: subprocess.CompletedProcess[bytes], line: int = -1) -> str:
    """Return one line of the error output of git: the last one, or the one at index ``line``."""
    lines = found.stderr.decode(errors="replace").strip().splitlines()
    return lines[line].removeprefix("fatal: ").rstrip(".") if lines else f"it ended with {found.returncode}"
