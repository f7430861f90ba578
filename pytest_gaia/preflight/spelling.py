"""How environments are spelled in names of files, apps and hosts: ``prod`` and ``production`` are one environment."""

import difflib
from collections.abc import Iterable

from pytest_gaia.config.deployfiles.read import spellings

KNOWN = ("local", "dev", "staging", "production")
"""the platform's environments, in the order of promotion"""

_NAMES = {spelling: name for name in KNOWN for spelling in spellings(name)}


def environment_name(spelling: str) -> str:
    """Return the environment that ``spelling`` stands for: ``prod`` → ``production``; any other word stands for itself."""
    return _NAMES.get(spelling, spelling)


def is_environment(word: str) -> bool:
    """Whether ``word`` is one of the platform's environments, however it is spelled."""
    return word in _NAMES


def last_word(name: str) -> str:
    """Return what stands behind the last dash of an app's name: ``gaia-auth-prod`` → ``prod``."""
    return name.rpartition("-")[2]


def as_environment(text: str, environment: str) -> str:
    """Return ``text`` with every spelling of ``environment`` replaced by a word that is the same for all environments.

    Two environments whose texts are equal after that differ in their names alone.

    >>> as_environment("https://gaia-auth-staging.fly.dev", "staging")
    'https://gaia-auth-{environment}.fly.dev'
    """
    words = sorted(spellings(environment), key=len, reverse=True)
    for word in words:
        text = _replaced(text, word)
    return text


def _replaced(text: str, word: str) -> str:
    """Return ``text`` with ``word`` replaced where it stands alone, not as a part of another word."""
    parts = text.split(word)
    result = parts[0]
    for part in parts[1:]:
        alone = not result[-1:].isalnum() and not part[:1].isalnum()
        result += ("{environment}" if alone else word) + part
    return result


def meant(word: str, known: Iterable[str]) -> str | None:
    """Return the one of ``known`` that ``word`` is likeliest meant to be, or None where none is near."""
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1)), None)
