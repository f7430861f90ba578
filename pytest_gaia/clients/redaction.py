"""What may be shown of an exchange: credentials are masked in headers, bodies, URLs, and wherever else they turn up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_gaia.config.secrets import MASK, mask_url

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
    rf'(?P<head>(?P<quote>(?<!\\)\\*")(?:{_NAMES})(?P=quote)\s*:\s*)(?P=quote)(?:(?!(?P=quote))(?:\\\\.|\\"|[^\n]))*?(?P=quote)',
    re.IGNORECASE,
)
_JSON_OTHER = re.compile(
    rf'(?P<head>(?<!\\)\\*"(?:{_NAMES})\\*"\s*:\s*)(?!null|true|false)[^\s"\\\[{{,}}\]]+', re.IGNORECASE
)
_PARAMETER = re.compile(rf"(?P<head>(?:^|[?&])(?:{_NAMES})=)[^&\s\"']+", re.IGNORECASE)
_TOKEN = re.compile(r"\beyJ[\w-]{4,}\.[\w-]{4,}(?:\.[\w-]*)?")

# Shorter values are words of every text; masking them would hide the text and show which word is the secret.
_SHORTEST = 6


class Redactor:
    """Masks by name (headers, JSON fields, parameters, passwords in URLs), by form (JWTs) and by value.

    ``learn`` adds a value that must not be shown, such as a token made in a test.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        for value in values:
            self.learn(value)

    @classmethod
    def of(cls, environment: Environment) -> Redactor:
        """Return one that knows the secrets of ``environment``."""
        secrets = (environment.api_key, environment.jwt_secret, environment.token, environment.database)
        return cls(secret.reveal() for secret in secrets if secret is not None)

    def learn(self, value: str) -> None:
        """Mask ``value`` from now on, wherever it turns up."""
        if len(value) >= _SHORTEST:
            self._values.add(value)

    def text(self, text: str) -> str:
        """Return ``text`` with everything masked that must not be shown."""
        # Longest first: a value may be part of another one.
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, MASK)
        text = _JSON_STRING.sub(rf"\g<head>\g<quote>{MASK}\g<quote>", text)
        text = _JSON_OTHER.sub(rf"\g<head>{MASK}", text)
        text = _PARAMETER.sub(rf"\g<head>{MASK}", text)
        return mask_url(_TOKEN.sub(MASK, text))

    def headers(self, headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
        """Return the headers with lower-case names; the values of one name are joined with a comma."""
        shown: dict[str, str] = {}
        for name, value in headers:
            key = name.lower()
            clear = MASK if key in SECRET_HEADERS else self.text(value)
            shown[key] = f"{shown[key]}, {clear}" if key in shown and key not in SECRET_HEADERS else clear
        return shown
