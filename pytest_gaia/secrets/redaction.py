"""What may be shown: secrets are masked in headers, bodies, URLs, lines of deploy tools, and wherever else they turn up."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
_LONGEST_KEY = 200
"""lines; where the end of a private key is missing, masking goes no further"""
_NAME = r"(?<![\w.-])(?P<name>[A-Za-z_][\w.-]{0,99})"
# A table of variables (as of `env`) has one a line; elsewhere a value ends where its word or its quotes do.
_TABLE = re.compile(rf"^(?P<head>(?:export |declare -x )?{_NAME}=)(?P<value>.+)$", re.MULTILINE)
_PAIR = re.compile(rf"""(?P<head>{_NAME}(?:=|:\s{{1,9}}))(?P<value>"[^"\n]*"|'[^'\n]*'|[^\s"']+)""")
# Colours and everything else by which a line could write over others of a terminal.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]")


class Redactor:
    """Masks by name (headers, fields, parameters), by shape (tokens, private keys, passwords in URLs) and by value.

    What two ways find, each a part of it, is masked as one. ``learn`` adds a value that must not be shown, such as a token made
    in a test.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._names: dict[str, str] = {}
        self._forms: dict[str, str] = {}
        self._index = FormIndex()
        for value in values:
            self.learn(value)

    @property
    def values(self) -> tuple[str, ...]:
        """The secrets that are known by their value."""
        return tuple(self._names)

    @property
    def named(self) -> Mapping[str, str]:
        """Those secrets → what messages call them."""
        return self._names

    def found(self, text: str) -> Iterator[tuple[int, str]]:
        """Yield where a form of a known secret begins in ``text``, in no order, and what messages call the secret."""
        return ((start, self._names[self._forms[form]]) for start, _, form in self._index.whole(text))

    def learn(self, value: str, name: str = "a secret of a test") -> None:
        """Mask ``value`` from now on, wherever it turns up, in whatever form; ``name`` is what messages call it."""
        for part in parts_of(value):
            if len(part) < SHORTEST or part in self._names or MASKED.search(part):
                continue
            self._names[part] = name
            # Tests make many tokens of one shape, with one beginning: each in all of its forms would slow down all.
            shaped = any(token == (0, len(part), JWT) for token in tokens(part))
            for form in [part] if shaped else forms_of(part):
                if self._forms.setdefault(form, part) == part:
                    self._index.add(form, head=not shaped)

    def learn_all(self, named: Iterable[tuple[str, str]]) -> None:
        """Learn several secrets, each a name and a value."""
        for name, value in named:
            self.learn(value, name)

    def text(self, text: str, limit: int | None = None) -> str:
        """Return ``text`` with everything masked that must not be shown, and such that it can be written as UTF-8.

        With a ``limit``, only what of it begins before so many characters; a secret that begins there is masked as a whole.
        """
        if not text.isascii():
            # Half of a surrogate pair may come with an answer: it would end the run when its evidence is written.
            text = text.encode(errors="backslashreplace").decode()
        known = self._known(text)
        shown = _masked(text, known)
        if limit is not None:
            limit = len(_masked(text, known, limit))
        found = [(start, end, self.mask(shown[start:end])) for start, end in joined(_telling(shown))]
        return _masked(shown, found, limit)

    def shown(self, text: str, limit: int | None = None) -> str:
        """Return ``text`` as :meth:`text` does, and with every character in it visible; a ``limit`` holds for what is shown."""
        masked = self.text(text, limit)
        clear = visible(masked)
        # A mask that goes beyond the limit stays as it is.
        return clear if limit is None else clear[: max(limit, len(masked))]

    def known(self, text: str) -> str:
        """Return ``text`` with those secrets masked that are known by their value."""
        return _masked(text, self._known(text))

    def mask(self, text: str) -> str:
        """Return what stands for a secret, the same for all of its forms."""
        return mask_of(self._forms.get(text, text))

    def exchanged(self, text: str, limit: int | None = None) -> str:
        """Return a body as it may be shown, see :meth:`text`; what is named like a secret in it is known from now on."""
        for start, end in named(text):
            self._learn_made(text[start:end])
        # Beyond the limit only the end of a secret is of interest that begins before it.
        return self.shown(text if limit is None else text[: 2 * limit], limit)

    def url(self, url: str) -> str:
        """Return the URL of a request as it may be shown; what it holds of secrets is known from now on."""
        for start, end in (*named(url), *url_secrets(url)):
            self._learn_made(url[start:end])
        return one_line(self.text(url))

    def headers(self, headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
        """Return the headers with lower-case names; the values of one name are joined with a comma."""
        shown: dict[str, str] = {}
        for name, value in headers:
            key = one_line(name.lower())
            clear = self._credential(value) if is_secret_parameter(key) else one_line(self.text(value))
            shown[key] = f"{shown[key]}, {clear}" if key in shown else clear
        return shown

    def _credential(self, value: str) -> str:
        """A token has one mask, in a header and elsewhere."""
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
        # A piece may be one of several secrets, as of a value and of what it is once it is decoded: the first that was learnt counts.
        secrets = {(start, end): secret for start, end, secret in reversed(found)}
        # What is masked already is no place to look for anything.
        taken = [masked.span() for masked in MASKED.finditer(text)] if MASK in text else []
        return [(*span, mask_of(secrets.get(span) or text[slice(*span)])) for span in joined([*secrets, *taken])]


def _telling(text: str) -> Iterator[Span]:
    """Yield what gives itself away as a secret, by its name or its shape.

    The ids of all tests come here: what has a sign of its own is looked for only where that is seen.
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
    """Whether ``value`` stands in texts for what it is: ``postgres`` is a password in many places, and a name in more."""
    return bool(_PLAIN_WORD.fullmatch(value))


def secrets_around(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield name and value of the secrets among ``variables``: those whose names say so, and passwords in URLs.

    Values that are no secret whatever their name says are left out: paths, references, plain words.
    """
    for name, value in variables.items():
        if "://" in value:
            yield from secrets_in_url(name, value)
        if is_secret_name(name) and (_CREDENTIAL_URL.match(value) or is_literal(value, name)) and not is_word(value):
            yield name, value
            if "," in value:
                # Several tokens may stand in one variable.
                yield from ((name, part.strip()) for part in value.split(","))


def secrets_in_url(name: str, url: str) -> Iterator[tuple[str, str]]:
    """Yield what of ``url`` is secret: its password, or the user of a NATS URL without one, which is a token.

    Libraries end a password at an ``@`` that should have been encoded, and call the rest the host: its pieces are secret too.
    """
    for start, end in (*url_secrets(url, cut=False), *named(url)):
        kind, secret = "token" if url[start - 1] == "/" else "password", url[start:end]
        pieces = re.split("[@:/?#]", secret)
        for each in (secret, *(pieces if len(pieces) > 1 else ())):
            if kind == "token" or not is_word(each):
                yield f"{name} ({kind})", each


def masker(environ: Mapping[str, str] | None = None) -> Callable[[str], str]:
    """Return a function that makes a line fit to be shown: credentials masked, colours and control characters
    removed, and what else cannot be seen shown as an escape.

    Masked are the secrets among the variables in ``environ`` (default: this process's), what stands beside a secret's name
    in a table of variables, passwords in URLs, tokens and marks of private keys by their form, and JSON fields by their name.
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
        for mark in KEY_MARK.finditer(text):
            lines_of_key = _LONGEST_KEY if mark[1] else 0
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
