"""One run of pytest in a process of its own, and what it took of the machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import resource
    from collections.abc import Sequence
    from pathlib import Path

_OFF = ("anyio", "allure_pytest", "hypothesispytest", "rerunfailures", "cacheprovider", "xdist")
"""plugins that are installed here and that a user of this one need not have"""
_REFERENCES = re.compile(r"I +refs: +([\d,]+)")
"""what cachegrind says at its end"""


def usage_of(project: Path, *arguments: str, needs: str = "") -> resource.struct_rusage:
    """Run pytest in ``project`` and return what it used. Raises ``RuntimeError`` if the run is not green.

    ``needs`` is the plugin that is measured, among those that are left out elsewhere.
    """
    command = _command(arguments, needs)
    child = subprocess.Popen(command, cwd=project, env=_environment(project), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(f"the run failed: {' '.join(command)}")
    return usage


def instructions_of(project: Path, *arguments: str) -> int:
    """Return how many instructions one run takes, which a busy machine does not change. Needs ``valgrind``."""
    counting = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command = [*counting, *_command(arguments, "")]
    # The order of sets must be the same in every run.
    environment = {**_environment(project), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    found = _REFERENCES.search(done.stderr)
    if done.returncode != 0 or found is None:
        raise RuntimeError(f"the run failed: {' '.join(command)}\n{done.stderr}")
    return int(found[1].replace(",", ""))


def _command(arguments: Sequence[str], needs: str) -> list[str]:
    off = [word for plugin in _OFF if plugin != needs for word in ("-p", f"no:{plugin}")]
    return [sys.executable, "-m", "pytest", "-q", "-q", "--no-header", *off, *arguments]


def _environment(project: Path) -> dict[str, str]:
    # Compiled modules are what users have, whatever this shell says of writing them.
    dropped = ("GAIA_", "PYTEST_", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**environment, "PYTHONPATH": str(project)}


def seconds_of(project: Path, *arguments: str, needs: str = "") -> float:
    """Return the seconds of processor time of one run: neighbours on the machine do not count."""
    usage = usage_of(project, *arguments, needs=needs)
    return usage.ru_utime + usage.ru_stime


def megabytes(usage: resource.struct_rusage) -> float:
    """Return the peak of memory."""
    # Linux counts in kilobytes, macOS in bytes.
    return usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)
