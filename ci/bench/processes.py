"""Run pytest in its own process, and measure time, memory and instructions."""

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

OFF = ("anyio", "allure_pytest", "hypothesispytest", "rerunfailures", "cacheprovider", "xdist")
"""plugins that are installed here, but not required"""
_REFERENCES = re.compile(r"I +refs: +([\d,]+)")
"""the last line of cachegrind"""


def usage_of(project: Path, *arguments: str, needs: str = "") -> resource.struct_rusage:
    """Run pytest in ``project`` and return its use of resources. Raise ``RuntimeError`` if the run fails.

    ``needs`` is a plugin that this run loads, and other runs do not.
    """
    command = _command(arguments, needs)
    child = subprocess.Popen(command, cwd=project, env=_environment(project), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(f"the run failed: {' '.join(command)}")
    return usage


def instructions_of(project: Path, *arguments: str) -> int:
    """Return the number of instructions of one run, which does not depend on the load. Needs ``valgrind``."""
    counting = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command = [*counting, *_command(arguments, "")]
    # Every run needs the same order of sets.
    environment = {**_environment(project), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    found = _REFERENCES.search(done.stderr)
    if done.returncode != 0 or found is None:
        raise RuntimeError(f"the run failed: {' '.join(command)}\n{done.stderr}")
    return int(found[1].replace(",", ""))


def _command(arguments: Sequence[str], needs: str) -> list[str]:
    off = [word for plugin in OFF if plugin != needs for word in ("-p", f"no:{plugin}")]
    return [sys.executable, "-m", "pytest", "-q", "-q", "--no-header", *off, *arguments]


def _environment(project: Path) -> dict[str, str]:
    # Users have compiled modules, so write them even if this shell forbids it.
    dropped = ("GAIA_", "PYTEST_", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**environment, "PYTHONPATH": str(project)}


def seconds_of(project: Path, *arguments: str, needs: str = "") -> float:
    """Return the seconds of CPU time of one run, so that other processes do not count."""
    usage = usage_of(project, *arguments, needs=needs)
    return usage.ru_utime + usage.ru_stime


def megabytes(usage: resource.struct_rusage) -> float:
    """Return the peak memory in MB."""
    # Linux counts in kilobytes, macOS in bytes.
    return usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)
