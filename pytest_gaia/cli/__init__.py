"""The ``gaia`` command."""

import sys


def main() -> None:
    """Run the command line of this process; the console script ``gaia``. Usage errors exit 4."""
    # typer costs 0.1 s, and this package is on the way to others of its modules.
    from pytest_gaia.cli.app import run

    raise SystemExit(run(sys.argv[1:]))
