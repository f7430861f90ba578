"""Confirmation of commands that change an environment, and durations and times on the command line."""

import re
import sys
from datetime import UTC, datetime

import typer

from pytest_gaia.errors import ConfigError

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended."""


def is_production(environment: str, role: str) -> bool:
    """Return whether ``environment`` has the role production, or has no role and the name of a production environment."""
    named = environment in ("production", "prod") or environment.startswith(("production-", "prod-"))
    return role == "production" or (not role and named)


def confirm_production(environment: str, role: str, what: str, given: str | None, *, dry_run: bool = False) -> None:
    """Confirm as :func:`confirm` in production, or if ``given`` is a name; a dry run needs no confirmation."""
    if given is not None or (not dry_run and is_production(environment, role)):
        confirm(environment, role, what, given)


def confirm(environment: str, role: str, what: str, given: str | None, *, yes: bool = False) -> None:
    """Return if the user confirms ``what``, a sentence such as "Roll staging back", for ``environment`` with ``role``.

    ``given`` is the value of ``--confirm``, the name of the environment; ``yes`` is ``--yes``, which production does not
    accept. Without either the user is asked: for the name in production, for y elsewhere. Raises ``ConfigError`` if the
    user does not confirm, or cannot be asked because stdin is not a terminal.
    """
    typed = is_production(environment, role)
    if given is not None:
        if given != environment:
            raise ConfigError(f"--confirm {given}: but the environment is {environment}. Nothing was changed.")
        return
    if yes and not typed:
        return
    # Python has no standard input if the shell has closed it.
    if sys.stdin is None or not sys.stdin.isatty():
        cause = "production does not accept --yes" if yes else "stdin is not a terminal"
        raise ConfigError(
            f"{what}? Refusing to continue without confirmation: {cause}. Pass --confirm {environment}. Nothing was changed."
        )
    question = f"Type its name, {environment}, to continue: " if typed else "Continue? [y/N] "
    try:
        # On standard error, so that standard output has the result only.
        typer.echo(f"{what}? {question}", nl=False, err=True)
        answer = sys.stdin.readline().strip()
    except KeyboardInterrupt:
        typer.echo("\nInterrupted. Nothing was changed.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if answer != environment if typed else answer.lower() not in ("y", "yes"):
        raise ConfigError("not confirmed. Nothing was changed.")


_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 30 * 86400.0


def seconds(text: str, option: str, *, least: float = 0.1) -> float:
    """Return the seconds of ``text``: ``90``, ``1.5s``, ``10m``, ``2h``, ``1d``.

    Raises ``ConfigError``, with the name of ``option``, if it is not a duration, or not within ``least`` and 30 days.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([smhd]?)", text.strip())
    if found is None:
        raise ConfigError(f"{option}: {text!r} is not a duration. Use seconds, or 90s, 10m, 2h, 1d.")
    value = float(found[1]) * _UNITS[found[2]]
    if not least <= value <= _LONGEST:
        raise ConfigError(f"{option}: {text!r} is out of range. Use {least:g} seconds to 30 days.")
    return value


def moment(text: str, option: str) -> datetime:
    """Return the time of ``text`` (ISO 8601; UTC without a zone). Raises ``ConfigError``, with the name of ``option``."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option}: {text!r} is not a time. Use 2027-01-31 or 2027-01-31T12:00Z.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def format_duration(seconds: float) -> str:
    """Return a duration for people.

    >>> format_duration(3725.4)
    '1 h 2 min 5 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if not (hours or minutes):
        return f"{seconds:.1f} s"
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min", f"{rest} s") if part)
