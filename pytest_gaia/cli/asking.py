"""Asking before something is done that people may not have meant, and durations as they type them."""

import re
import sys
from datetime import UTC, datetime

import typer

from pytest_gaia.errors import ConfigError

INTERRUPTED = 130
"""what a shell says of a command that Ctrl-C has ended"""


def is_production(environment: str) -> bool:
    """Whether ``environment`` goes by the name of production."""
    return environment in ("production", "prod") or environment.startswith(("production-", "prod-"))


def confirm_production(environment: str, what: str, given: str | None, *, dry_run: bool = False) -> None:
    """Do as :func:`confirm` where ``environment`` is production, or ``given`` says a name; a dry run needs none."""
    if given is not None or (not dry_run and is_production(environment)):
        confirm(environment, what, given)


def confirm(environment: str, what: str, given: str | None) -> None:
    """Return if ``what`` may be done to ``environment``; raise ``ConfigError`` (4) if not: nothing was done then.

    ``what`` is a sentence without its full stop, such as "Roll staging back".

    ``given`` is ``--confirm``: the environment's name. Without it production asks for the name to be typed, any other
    for y; without a terminal nobody can be asked.
    """
    if given is not None:
        if given != environment:
            raise ConfigError(f"--confirm {given}: but the environment is {environment}. Nothing was done.")
        return
    # Python has no standard input where the shell has closed it.
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError(
            f"{what}? That has to be confirmed, and there is no terminal to ask at. Add --confirm {environment} if it "
            "is meant. Nothing was done."
        )
    typed = is_production(environment)
    question = f"Type its name, {environment}, to go on: " if typed else "Go on? [y/N] "
    try:
        # On standard error, so that standard output holds the result alone.
        typer.echo(f"{what}? {question}", nl=False, err=True)
        answer = sys.stdin.readline().strip()
    except KeyboardInterrupt:
        typer.echo("\nInterrupted. Nothing was done.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if answer != environment if typed else answer.lower() not in ("y", "yes"):
        raise ConfigError("not confirmed. Nothing was done.")


_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 30 * 86400.0


def seconds(text: str, option: str, *, least: float = 0.1) -> float:
    """Return the seconds of ``text``: ``90``, ``1.5s``, ``10m``, ``2h``, ``1d``.

    Raises ``ConfigError``, which names ``option``, for what is none, shorter than ``least`` or longer than 30 days.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([smhd]?)", text.strip())
    if found is None:
        raise ConfigError(f"{option}: {text!r} is not a duration. Use seconds, or 90s, 10m, 2h, 1d.")
    value = float(found[1]) * _UNITS[found[2]]
    if not least <= value <= _LONGEST:
        raise ConfigError(f"{option}: {text!r} is out of range. Use {least:g} seconds to 30 days.")
    return value


def moment(text: str, option: str) -> datetime:
    """Return the time of ``text`` (ISO 8601), in UTC where it names no zone; ``ConfigError``, which names ``option``, if none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option}: {text!r} is not a time. Use 2027-01-31 or 2027-01-31T12:00Z.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def spoken(seconds: float) -> str:
    """Return a duration for people.

    >>> spoken(3725.4)
    '1 h 2 min 5 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if not (hours or minutes):
        return f"{seconds:.1f} s"
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min", f"{rest} s") if part)
