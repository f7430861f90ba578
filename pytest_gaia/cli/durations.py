"""Durations as people type them."""

from __future__ import annotations

import re

from pytest_gaia.errors import ConfigError

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 30 * 86400.0


def seconds(text: str, option: str, *, least: float = 0.1) -> float:
    """Return the seconds of ``text``: ``90``, ``1.5s``, ``10m``, ``2h``, ``1d``.

    Raises ``ConfigError``, which names ``option``, for what is none, shorter than ``least`` or longer than 30 days.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([smhd]?)", text.strip())
    if found is None:
        raise ConfigError(f"{option}: {text!r} is no duration: give seconds, or 90s, 10m, 2h, 1d.")
    value = float(found[1]) * _UNITS[found[2]]
    if not least <= value <= _LONGEST:
        raise ConfigError(f"{option}: {text!r}: it has to be between {least:g} seconds and 30 days.")
    return value


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
