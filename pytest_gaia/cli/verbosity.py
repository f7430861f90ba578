"""What `-q`, `-v` and `--color` choose for one command line."""

import os
import sys
from dataclasses import dataclass

import typer

_VARIABLES = {"always": ("FORCE_COLOR", "NO_COLOR"), "never": ("NO_COLOR", "FORCE_COLOR")}
"""`--color`: the variable that it sets, and the one that it unsets; rich, pytest and the tools that gaia runs read them"""


@dataclass(slots=True)
class Verbosity:
    """How much a command prints."""

    quiet: bool = False
    verbose: bool = False
    colors: dict[str, str | None] | None = None
    """values of the variables before ``--color`` changed them"""


CHOSEN = Verbosity()


def set_quiet(value: bool) -> None:
    """Print results and errors only, if ``value``."""
    CHOSEN.quiet |= value


def set_verbose(value: bool) -> None:
    """Print what gaia runs on stderr, if ``value``."""
    if value and not CHOSEN.verbose:
        CHOSEN.verbose = True
        import logging

        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger = logging.getLogger("pytest_gaia")
        logger.handlers = [handler]
        logger.setLevel(logging.DEBUG)


def set_color(value: str | None) -> None:
    """Set the variables that turn colors on or off; raises ``BadParameter`` for an unknown value."""
    if value in _VARIABLES:
        on, off = _VARIABLES[value]
        CHOSEN.colors = CHOSEN.colors or {name: os.environ.get(name) for name in (on, off)}
        os.environ[on] = "1"
        os.environ.pop(off, None)
    elif value not in (None, "auto"):
        raise typer.BadParameter(f"{value!r} is not auto, always or never.")


def reset() -> None:
    """Return to the defaults, with the variables of before."""
    for name, value in (CHOSEN.colors or {}).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if CHOSEN.verbose:
        import logging

        logging.getLogger("pytest_gaia").handlers = []
    CHOSEN.quiet, CHOSEN.verbose, CHOSEN.colors = False, False, None
