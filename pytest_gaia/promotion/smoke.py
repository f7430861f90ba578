"""Does what runs now work? The suite ``health`` of the project, or, where it has none, whether the members answer."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from pytest_gaia.config.options import Options
from pytest_gaia.config.project import find_project
from pytest_gaia.config.resolve import resolve
from pytest_gaia.config.variables import without_signing_key
from pytest_gaia.run.readiness import probe_members

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SUITE = "health"
_STANDARD_ERROR = 2
"""the descriptor: standard output holds the result of the command alone"""


def smoke(rootdir: Path, name: str, environ: Mapping[str, str]) -> str:
    """Return why the environment ``name`` does not work; an empty text if it does.

    What pytest writes goes to standard error. Raises ``KeyboardInterrupt``, and then pytest has ended as well.
    """
    suites = [folder for folder in find_project(rootdir).suites if (folder / SUITE).is_dir()]
    if not suites:
        return _unready(rootdir, name, environ)
    command = [sys.executable, "-m", "pytest", *(str(each / SUITE) for each in suites), f"--gaia-env={name}"]
    # In this process group, so that Ctrl-C reaches it too. S603: no shell, and the words are the project's own.
    done = subprocess.run(command, cwd=rootdir, env=without_signing_key(environ), stdout=_STANDARD_ERROR, check=False)  # noqa: S603
    return f"its {SUITE} suite ended with {done.returncode}" if done.returncode else ""


def _unready(rootdir: Path, name: str, environ: Mapping[str, str]) -> str:
    environment = resolve(Options(rootdir=rootdir, environ=environ, env=name))
    states = {each.member: each for each in probe_members(environment, deadline=environment.timeouts.ready)}
    bad = [states[each] for each in environment.required if each in states and not states[each].reachable]
    return "; ".join(f"{each.member} does not answer: {each.detail}" for each in bad)
