"""What may be shown: credentials are masked in headers, bodies, URLs, and wherever else they turn up."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from pytest_gaia.clients.forms import SHORTEST, forms_of, parts_of
from pytest_gaia.clients.fragments import Fragments
from pytest_gaia.clients.known_secrets import secrets_of
from pytest_gaia.config.secrets import MASKED, mask_of, mask_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_gaia.config.environment import Environment

SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "cookie", "set-cookie"})

_NAMES = (
    r"(?:x[-_]?)?api[-_]?key|(?:access[-_]?|refresh[-_]?|id[-_]?|auth[-_]?)?token|jwt|password|passwd"
    r"|(?:client[-_]?|jwt[-_]?)?secret|secret[-_]?key|private[-_]?key|key[-_]?hash|authorization|cookie|dsn|database[-_]?url"
)
# The quotes of a JSON string that itself stands in a JSON string are escaped, however often: \" or \\\".
_JSON_STRING = re.compile(
    rf'(?P<head>(?P<quote>(?<!\\)\\*")(?:{_NAMES})(?P=quote)\s*:\s*(?P=quote))(?P<secret>(?:(?!(?P=quote))(?:\\\\.|\\"|[^\n]))*?)'
    r"(?=(?P=quote))",
    re.IGNORECASE,
)
_JSON_OTHER = re.compile(
    rf'(?P<head>(?<!\\)\\*"(?:{_NAMES})\\*"\s*:\s*)(?P<secret>(?!null|true|false)[^\s"\\\[{{,}}\]]+)', re.IGNORECASE
)
_PARAMETER = re.compile(rf"(?P<head>(?:^|[?&])(?:{_NAMES})=)(?P<secret>[^&\s\"']+)", re.IGNORECASE)
_TOKEN = re.compile(r"\beyJ[\w-]{4,}\.[\w-]{4,}(?:\.[\w-]*)?")
_COOKIES = re.compile(r";\s*")
_MANY = 200
"""forms of secrets; to look for each of more than these takes longer than to look at each place of a text"""
_MADE = re.compile(r"[\w+/=.~-]{16,}")
_SCHEME = re.compile(r"(?:Bearer|Basic|Token)\s+", re.IGNORECASE)


class Redactor:
    """Masks by name (headers, JSON fields, parameters, passwords in URLs), by form (JWTs) and by value.

    ``learn`` adds a value that must not be shown, such as a token made in a test.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._names: dict[str, str] = {}
        self._forms: dict[str, str] = {}
        self._index: _Index | None = None
        for value in values:
            self.learn(value)

    @classmethod
    def of(cls, environment: Environment) -> Redactor:
        """Return one that knows the secrets of ``environment``."""
        redactor = cls()
        redactor.learn_all(secrets_of(environment))
        return redactor

    @property
    def values(self) -> tuple[str, ...]:
        """The secrets that are known by their value."""
        return tuple(self._names)

    @property
    def named(self) -> Mapping[str, str]:
        """Those secrets → what messages call them."""
        return self._names

    @property
    def forms(self) -> Mapping[str, str]:
        """Every form of every known secret → the secret's name."""
        return {form: self._names[value] for form, value in self._forms.items()}

    def learn(self, value: str, name: str = "a secret of a test") -> None:
        """Mask ``value`` from now on, wherever it turns up, in whatever form; ``name`` is what messages call it."""
        for part in parts_of(value):
            if len(part) < SHORTEST or part in self._names or MASKED.search(part):
                continue
            self._names[part] = name
            # Tests make many tokens, which are known by their form: each in all of its forms would slow down all.
            for form in [part] if _TOKEN.fullmatch(part) else forms_of(part):
                self._forms.setdefault(form, part)
            self._index = None

    def learn_all(self, named: Iterable[tuple[str, str]]) -> None:
        """Learn several secrets, each a name and a value."""
        for name, value in named:
            self.learn(value, name)

    def text(self, text: str) -> str:
        """Return ``text`` with everything masked that must not be shown, and such that it can be written as UTF-8."""
        if not text.isascii():
            # Half of a surrogate pair may come with an answer: it would end the run when its evidence is written.
            text = text.encode(errors="backslashreplace").decode()
        text = self.known(text)
        # The ids of all tests come here: a pattern is tried only where its sign is seen, which costs next to nothing.
        if '"' in text:
            text = _JSON_OTHER.sub(self._named, _JSON_STRING.sub(self._named, text))
        if "=" in text:
            text = _PARAMETER.sub(self._named, text)
        if "eyJ" in text:
            text = _TOKEN.sub(lambda found: mask_of(found[0]), text)
        return mask_url(text, self.mask) if "://" in text else text

    def known(self, text: str) -> str:
        """Return ``text`` with those secrets masked that are known by their value."""
        if len(text) < SHORTEST:
            return text
        if self._index is None:
            self._index = _Index(self._forms)
        found = self._index.present(text)
        if found:
            # What is masked already is matched first, so that nothing is looked for in it.
            pattern = re.compile("|".join((MASKED.pattern, *map(re.escape, found))))
            text = pattern.sub(lambda each: self.mask(each[0]), text)
        return self._index.fragments.mask(text, self.mask) if "..." in text else text

    def mask(self, text: str) -> str:
        """Return what stands for a secret, the same for all of its forms."""
        return mask_of(self._forms.get(text, text))

    def exchanged(self, text: str) -> str:
        """Return the body of a request or an answer as it may be shown; what it calls a token is known from now on."""
        for pattern in (_JSON_STRING, _PARAMETER):
            for found in pattern.finditer(text):
                self._learn_made(found["secret"])
        return self.text(text)

    def headers(self, headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
        """Return the headers with lower-case names; the values of one name are joined with a comma."""
        shown: dict[str, str] = {}
        for name, value in headers:
            key = name.lower()
            clear = self._credential(value) if key in SECRET_HEADERS else self.text(value)
            shown[key] = f"{shown[key]}, {clear}" if key in shown else clear
        return shown

    def _credential(self, value: str) -> str:
        """A token has one mask, in a header and elsewhere."""
        scheme = _SCHEME.match(value)
        credential = value[scheme.end() :] if scheme else value
        for part in _COOKIES.split(credential):
            self._learn_made(part.partition("=")[2] if "=" in part.rstrip("=") else part)
        return self.mask(credential)

    def _learn_made(self, value: str) -> None:
        """A value that somebody has made up by machine turns up nowhere by chance; others are words."""
        if _MADE.fullmatch(value) and any(map(str.isdigit, value)) and any(map(str.isalpha, value)):
            self.learn(value, "a credential in an exchange")

    def _named(self, found: re.Match[str]) -> str:
        return found["head"] + self.mask(found["secret"])


class _Index:
    """All forms of all secrets, to be found in a text whether that is short or they are many."""

    def __init__(self, forms: Iterable[str]) -> None:
        # Longest first: a value may be part of another one.
        self._forms = sorted(forms, key=len, reverse=True)
        self._starts: defaultdict[str, list[str]] = defaultdict(list)
        for form in self._forms:
            self._starts[form[:SHORTEST]].append(form)
        self.fragments = Fragments(self._forms)

    def present(self, text: str) -> list[str]:
        """Return the forms that stand in ``text``, longest first."""
        if len(text) > len(self._forms) and len(self._forms) < _MANY:
            return [form for form in self._forms if form in text]
        windows = {text[place : place + SHORTEST] for place in range(len(text) - SHORTEST + 1)}
        starting = (form for start in windows & self._starts.keys() for form in self._starts[start])
        return sorted((form for form in starting if form in text), key=len, reverse=True)
