"""Spellings of environments in names of files, apps and hosts: ``prod`` is ``production``."""

import difflib
from collections.abc import Iterable

from pytest_gaia.config.deployfiles.read import spellings

KNOWN = ("local", "dev", "staging", "production")
"""built-in environments, in the order of promotion"""

_NAMES = {spelling: name for name in KNOWN for spelling in spellings(name)}


def environment_name(spelling: str) -> str:
    """Return the environment for ``spelling``: ``prod`` → ``production``; other words stay unchanged."""
    return _NAMES.get(spelling, spelling)


def is_environment(word: str) -> bool:
    """Whether ``word`` is a built-in environment, in any spelling."""
    return word in _NAMES


def last_word(name: str) -> str:
    """Return the part after the last dash of the name of an app: ``gaia-auth-prod`` → ``prod``."""
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
    """Return ``text`` with ``word`` replaced, but not as a part of another word."""
    parts = text.split(word)
    result = parts[0]
    for part in parts[1:]:
        alone = not result[-1:].isalnum() and not part[:1].isalnum()
        result += ("{environment}" if alone else word) + part
    return result


def meant(word: str, known: Iterable[str]) -> str | None:
    """Return the most similar one of ``known``, or None."""
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1)), None)
