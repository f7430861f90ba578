"""Names of environments, and their spellings in names of files, apps and hosts: ``prod`` is ``production``."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pytest_gaia.config.deployfiles.read import spellings

KNOWN = ("local", "dev", "staging", "production")
"""built-in environments, each with the role of its name, in the order of promotion"""

PROTECTED = ("staging", "production")
"""roles of the environments that only tested releases reach"""


@dataclass(frozen=True)
class Environments:
    """The environments of a project: the built-in ones, and its own."""

    stated: Mapping[str, str] = field(default_factory=dict)
    """environment of the project → its role"""

    @cached_property
    def roles(self) -> Mapping[str, str]:
        """Environment → role; empty for none. The sandbox is not deployed."""
        found = {name: name for name in KNOWN} | dict(self.stated)
        return {name: role for name, role in found.items() if role != "sandbox"}

    @cached_property
    def _names(self) -> Mapping[str, str]:
        return {spelling: name for name in self.roles for spelling in spellings(name)} | {n: n for n in self.roles}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        words = sorted(map(re.escape, self._names), key=len, reverse=True)
        return re.compile(rf"(?<![a-z])(?:{'|'.join(words)})(?![a-z])")

    def name(self, spelling: str) -> str:
        """Return the environment for ``spelling``: ``prod`` → ``production``; other words stay unchanged."""
        return self._names.get(spelling, spelling)

    def role(self, name: str) -> str:
        """Return the role of an environment, in any spelling; an empty string for none."""
        return self.roles.get(self.name(name), "")

    def knows(self, word: str) -> bool:
        """Whether ``word`` is an environment, in any spelling."""
        return word in self._names

    def in_text(self, text: str) -> tuple[str, ...]:
        """Return the environments in ``text``, which may be parts of a path or an option, but not of a word."""
        return tuple(self._names[word] for word in self._pattern.findall(text.lower()))

    def ending(self, app: str) -> str | None:
        """Return the environment after the last dash of the name of an app, as it is spelled there."""
        found = [word for word in self._names if app.endswith(f"-{word}")]
        return max(found, key=len, default=None)

    def is_protected(self, name: str) -> bool:
        """Whether an environment is a staging or a production environment."""
        return self.role(name) in PROTECTED

    def rank(self, name: str) -> int:
        """Return the position of an environment in the order of promotion; one without a role comes first."""
        return KNOWN.index(role) if (role := self.role(name)) in KNOWN else -1


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
