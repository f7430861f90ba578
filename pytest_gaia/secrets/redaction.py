"""What may be shown: secrets are masked in headers, bodies, URLs, lines of deploy tools, and wherever else they turn up."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

from pytest_gaia.printable import one_line, visible
from pytest_gaia.secrets.forms import SHORTEST, FormIndex, forms_of, parts_of
from pytest_gaia.secrets.masks import MASK, MASKED, mask_of
from pytest_gaia.secrets.names import SCHEME, bearers, is_secret_name, is_secret_parameter, named, options
from pytest_gaia.secrets.shapes import (
    JWT,
    KEY_MARK,
    Span,
    is_literal,
    joined,
    looks_made,
    private_keys,
    tokens,
    url_secrets,
)

_Mask: TypeAlias = tuple[int, int, str]
"""start and end of a secret, and what is shown instead"""

_COOKIES = re.compile(r";\s*+")
_CREDENTIAL_URL = re.compile(r"[a-z][a-z0-9+.-]{0,19}://[^\s/@]+@", re.IGNORECASE)
_PLAIN_WORD = re.compile(r"[a-z]{1,12}|[A-Z][a-z]{1,11}|\d{1,9}")
_KEY_LINE = re.compile(r"[A-Za-z0-9+/]+={0,2}")
# A log may begin each line with a time or the name of a container.
_KEY_WORD = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{16,}={0,2}(?=[\"',]*\s*$)")
LONGEST_KEY = 200
"""maximum lines that are masked if the end of a private key is missing"""
_SHORT = 100
"""characters of a text whose result is remembered"""
_DIGITS = re.compile(r"[0-9a-f-]+")
_BY_CHANCE = 16
"""longest secret that random hexadecimal digits contain by chance"""
_NAME = r"(?<![\w.-])(?P<name>[A-Za-z_][\w.-]{0,99})"
# A table of variables (as of `env`) has one per line; elsewhere a value ends with its word or quotes.
_TABLE = re.compile(rf"^(?P<head>(?:export |declare -x )?{_NAME}=)(?P<value>.+)$", re.MULTILINE)
_PAIR = re.compile(rf"""(?P<head>{_NAME}(?:=|:\s{{1,9}}))(?P<value>"[^"\n]*"|'[^'\n]*'|[^\s"']+)""")
# Colors and other control sequences that could overwrite lines of a terminal.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]")


class Redactor:
    """Mask secrets by name (headers, fields, parameters), shape (tokens, private keys, passwords in URLs) and value.

    Overlapping findings get one mask. ``learn`` adds a value to mask, such as a token created in a test.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._names: dict[str, str] = {}
        self._forms: dict[str, str] = {}
        self._index = FormIndex()
        self._digits: list[str] = []
        """forms that may be part of a random ID"""
        self._headers: set[str] = set()
        # Reports, and headers of responses, repeat the same short texts for each test.
        self._repeated = lru_cache(maxsize=1000)(self._redacted)
        for value in values:
            self.learn(value)

    @property
    def values(self) -> tuple[str, ...]:
        """The secrets that are known by value."""
        return tuple(self._names)

    @property
    def named(self) -> Mapping[str, str]:
        """Those secrets → their names in messages."""
        return self._names

    def found(self, text: str) -> Iterator[tuple[int, str]]:
        """Yield (start, name) of each form of a known secret in ``text``, in no order."""
        return ((start, self._names[self._forms[form]]) for start, _, form in self._index.whole(text))

    def learn(self, value: str, name: str = "a secret of a test") -> None:
        """Mask ``value`` in any form from now on; ``name`` is its name in messages."""
        for part in parts_of(value):
            if len(part) < SHORTEST or part in self._names or MASKED.search(part):
                continue
            self._names[part] = name
            self._repeated.cache_clear()
            # Tests create many tokens with the same beginning; all forms of each would slow down the search.
            shaped = any(token == (0, len(part), JWT) for token in tokens(part))
            for form in [part] if shaped else forms_of(part):
                if self._forms.setdefault(form, part) == part:
                    self._index.add(form, head=not shaped)
                if len(form) <= _BY_CHANCE and _DIGITS.fullmatch(form):
                    self._digits.append(form)

    def learn_all(self, named: Iterable[tuple[str, str]]) -> None:
        """Learn several secrets, each a name and a value."""
        for name, value in named:
            self.learn(value, name)

    def learn_headers(self, names: Iterable[str]) -> None:
        """Mask the values of these headers, whatever their names say."""
        self._headers.update(name.lower() for name in names)

    def text(self, text: str, limit: int | None = None) -> str:
        """Return ``text`` with all secrets masked, and encodable as UTF-8.

        ``limit`` truncates it to so many characters; a secret that begins before the limit is masked completely.
        """
        return self._repeated(text) if limit is None and len(text) <= _SHORT else self._redacted(text, limit)

    def _redacted(self, text: str, limit: int | None = None) -> str:
        if not text.isascii():
            # A response may contain half of a surrogate pair, which cannot be written.
            text = text.encode(errors="backslashreplace").decode()
        known = self._known(text)
        shown = _masked(text, known)
        if limit is not None:
            limit = len(_masked(text, known, limit))
        found = [(start, end, self.mask(shown[start:end])) for start, end in joined(_by_name_or_shape(shown))]
        return _masked(shown, found, limit)

    def shown(self, text: str, limit: int | None = None) -> str:
        """Do the same as :meth:`text`, and make every character visible; ``limit`` applies to the result."""
        masked = self.text(text, limit)
        clear = visible(masked)
        # A mask across the limit stays complete.
        return clear if limit is None else clear[: max(limit, len(masked))]

    def is_in_id(self, text: str) -> bool:
        """Whether a random ID, of lower-case hexadecimal digits and hyphens, contains a known secret by chance."""
        return any(form in text for form in self._digits)

    def known(self, text: str) -> str:
        """Return ``text`` with secrets masked that are known by value."""
        return _masked(text, self._known(text))

    def mask(self, text: str) -> str:
        """Return the mask of a secret, the same for all of its forms."""
        return mask_of(self._forms.get(text, text))

    def exchanged(self, text: str, limit: int | None = None) -> str:
        """Return a masked body, see :meth:`text`; learn values in it with the name of a secret."""
        for start, end in named(text):
            self._learn_made(text[start:end])
        # A secret may begin before the limit and end after it.
        return self.shown(text if limit is None else text[: 2 * limit], limit)

    def url(self, url: str) -> str:
        """Return the masked URL of a request; learn the secrets in it."""
        for start, end in (*named(url), *url_secrets(url)):
            self._learn_made(url[start:end])
        return one_line(self.text(url))

    def headers(self, headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
        """Return the headers with lower-case names; the values of one name are joined with a comma."""
        shown: dict[str, str] = {}
        for name, value in headers:
            key = one_line(name.lower())
            secret = key in self._headers or is_secret_parameter(key)
            clear = self._credential(value) if secret else one_line(self.text(value))
            shown[key] = f"{shown[key]}, {clear}" if key in shown else clear
        return shown

    def _credential(self, value: str) -> str:
        """Return a masked credential, with the same mask as elsewhere."""
        scheme = SCHEME.match(value)
        credential = value[scheme.end() :] if scheme else value
        for part in _COOKIES.split(credential):
            self._learn_made(part.partition("=")[2] if "=" in part.rstrip("=") else part)
        return self.mask(credential)

    def _learn_made(self, value: str) -> None:
        if looks_made(value):
            self.learn(value, "a credential in an exchange")

    def _known(self, text: str) -> list[_Mask]:
        if len(text) < SHORTEST:
            return []
        found = [
            (start, end, self._forms[form]) for start, end, form in (*self._index.whole(text), *self._index.cut(text))
        ]
        if not found:
            return []
        # A piece may belong to several secrets, such as a value and its decoded form; the first one counts.
        secrets = {(start, end): secret for start, end, secret in reversed(found)}
        # Do not search inside of masks.
        taken = [masked.span() for masked in MASKED.finditer(text)] if MASK in text else []
        return [(*span, mask_of(secrets.get(span) or text[slice(*span)])) for span in joined([*secrets, *taken])]


def _by_name_or_shape(text: str) -> Iterator[Span]:
    """Yield secrets by name or shape.

    Called for the ids of all tests, so each search runs only if the text contains its characteristic characters.
    """
    if ":" in text or "=" in text or "," in text:
        yield from named(text)
    if "--" in text:
        yield from options(text)
    if " " in text:
        yield from bearers(text)
    yield from ((start, end) for start, end, _ in tokens(text))
    if "-----" in text:
        yield from private_keys(text)
    if "://" in text:
        yield from url_secrets(text)


def _masked(text: str, found: Sequence[_Mask], limit: int | None = None) -> str:
    limit = len(text) if limit is None else limit
    pieces, done = [], 0
    for start, end, mask in found:
        if start >= limit:
            break
        pieces += [text[done:start], mask]
        done = end
    return "".join((*pieces, text[done:limit]))


def is_word(value: str) -> bool:
    """Whether ``value`` is an ordinary word or number: ``postgres`` is a password in many places, but usually a name."""
    return bool(_PLAIN_WORD.fullmatch(value))


def secrets_around(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of the secrets in ``variables``: by name, and passwords in URLs.

    Without values that are no secrets in spite of their name: paths, references, plain words.
    """
    for name, value in variables.items():
        if "://" in value:
            yield from secrets_in_url(name, value)
        if is_secret_name(name) and (_CREDENTIAL_URL.match(value) or is_literal(value, name)) and not is_word(value):
            yield name, value
            if "," in value:
                # One variable may contain several tokens.
                yield from ((name, part.strip()) for part in value.split(","))


def secrets_in_url(name: str, url: str) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of the secrets in ``url``: its password, or the user of a NATS URL without one, which is a token.

    Libraries end a password at an unencoded ``@`` and treat the rest as the host, so the pieces of a password are secret too.
    """
    for start, end in (*url_secrets(url, cut=False), *named(url)):
        kind, secret = "token" if url[start - 1] == "/" else "password", url[start:end]
        pieces = re.split("[@:/?#]", secret)
        for each in (secret, *(pieces if len(pieces) > 1 else ())):
            if kind == "token" or not is_word(each):
                yield f"{name} ({kind})", each


def masker(environ: Mapping[str, str] | None = None) -> Callable[[str], str]:
    """Return a function that masks credentials in a line, and removes colors and control characters.

    It masks secrets in the variables ``environ`` (default: those of this process), values next to the name of a secret,
    passwords in URLs, tokens, private keys, and JSON fields. It shows other invisible characters as escapes.
    """
    redactor = Redactor()
    redactor.learn_all(secrets_around(os.environ if environ is None else environ))
    lines_of_key = 0

    def mask(text: str) -> str:
        nonlocal lines_of_key
        text = _CONTROL.sub("", text)
        if lines_of_key and _KEY_LINE.fullmatch(text.strip()):
            lines_of_key -= 1
            return mask_of(text.strip())
        if lines_of_key and (word := _KEY_WORD.search(text)):
            lines_of_key -= 1
            text = text[: word.start()] + mask_of(word[0]) + text[word.end() :]
        for mark in KEY_MARK.finditer(text):
            lines_of_key = LONGEST_KEY if mark[1] else 0
        text = redactor.text(text)
        if "=" in text or ":" in text:
            text = _PAIR.sub(_masked_value, _TABLE.sub(_masked_value, text))
        return visible(text)

    return mask


def _masked_value(found: re.Match[str]) -> str:
    name, value = found["name"], found["value"]
    # "token: expired" is a sentence, "API_KEY: 1f3a" a line of YAML.
    is_variable = found["head"][-1] == "=" or name.isupper()
    bare = value.strip("\"'")
    if not (is_variable and bare and is_secret_name(name) and is_literal(bare, name)):
        return found[0]
    return found["head"] + value.replace(bare, mask_of(bare))
