"""The way of a release through the environments: what each stage asks of it, and where evidence of that is kept."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

MACHINE_ROLE = "ci"
"""the role of keys that sign what machines did; every other role is one of people, and no key has both kinds"""


@dataclass(frozen=True, slots=True)
class Freeze:
    """A time in which nothing is promoted into an environment."""

    begins: datetime
    until: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Slo:
    """A service level objective: how long a route may take."""

    route: str
    """method and template, such as ``GET /api/v0.2/personas/{persona_id}``"""
    fail_ms: float
    warn_ms: float | None = None
    percentile: float = 95.0
    min_samples: int = 20
    """with fewer, nothing is concluded"""


@dataclass(frozen=True, slots=True)
class Stage:
    """What promotes a release into one environment."""

    previous: str | None = None
    """previous stage (``promote_from`` in gaia.toml); None for the first stage"""
    suites: tuple[str, ...] | None = None
    """suites that a run must cover; None for those of the environment"""
    services: tuple[str, ...] | None = None
    """services of a release that run there; None means all"""
    soak: timedelta = timedelta(0)
    """how long the release must have run in the previous stage without interruption"""
    evidence_age: timedelta = timedelta(days=7)
    """older evidence has expired"""
    sign: tuple[str, ...] = ()
    """roles that must have approved the release"""
    require_signed: bool = False
    """whether evidence counts only with a trusted signature"""
    freezes: tuple[Freeze, ...] = ()
    slos: tuple[Slo, ...] = ()


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """Where evidence is stored, and whose signatures are trusted: ``[ledger]``."""

    path: str = ".gaia/ledger"
    """folder of the ledger, from that of gaia.toml; not used with ``git``"""
    git: str | None = None
    """git reference of a shared ledger, such as ``refs/gaia/ledger``"""
    remote: str | None = None
    """git remote of the ledger; None for this repository only"""
    keys: str = "keys"
    """folder of the trusted public keys, one file each, from that of gaia.toml"""

    def may_have_entries(self, rootdir: Path) -> bool:
        """Whether the ledger of the project in ``rootdir`` must be read: a folder that does not exist has no entries."""
        return self.git is not None or (rootdir / self.path).exists()


LEAST_SOAK = timedelta(hours=1)
"""shortest soak time before production, unless its services run on this machine (``loopback``): enough for a run of the
tests and a look at the logs"""
MAX_EVIDENCE_AGE = timedelta(days=365)
"""longest ``max_evidence_age``"""
MAX_EVIDENCE_AGE_OF_PRODUCTION = timedelta(days=30)
"""the same for production: as long as the longest waiver"""

_DURATION = re.compile(r"([0-9]{1,5})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: str) -> timedelta:
    """Parse a duration, a whole number and a unit, such as ``30m``, ``24h``, ``7d``. Raises ``ValueError``.

    >>> duration("24h")
    datetime.timedelta(days=1)
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f'{text!r} is no duration: a whole number and a unit, such as "30m", "24h" or "7d".')
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
