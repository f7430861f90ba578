"""``python -m pytest_gaia.sandbox DIRECTORY``: supervise one run's sandbox. Started by :mod:`pytest_gaia.run.stack`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Run the supervisor for the directory that the command line names, and return its exit code."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m pytest_gaia.sandbox DIRECTORY (use 'gaia sandbox up')\n")
        return 2
    from pytest_gaia.sandbox import bytecode

    bytecode.keep()
    from pytest_gaia.sandbox.supervisor import Supervisor

    return Supervisor(Path(sys.argv[1])).run()


if __name__ == "__main__":
    if not __package__:
        # Started by its path: the folder that holds the package may be known to the run's process alone.
        sys.path.append(str(Path(__file__).parents[2]))
    sys.exit(main())
