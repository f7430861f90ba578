"""Recognize names of secrets, and values in a text next to such a name."""

import re
from collections.abc import Iterator
from functools import lru_cache

from pytest_gaia.secrets.shapes import Span, end_of_string, is_literal, looks_made, words_of

_LONGEST = 256
"""characters; a longer text is no name"""

_SUFFIXES = re.compile(
    r"base|b|v|hex|pem|der|jwk|json|raw|plain|old|new|previous|prev|current|next|primary|secondary|fallback|default|"
    r"prod|production|staging|stage|dev|development|test|testing|local|live|sandbox|ci|edge|ro|rw|\d+"
)
"""words after the one that decides: ``API_KEY_STAGING``, ``KEY_BASE64``, ``SECRET_KEY_BASE``"""

_ALWAYS = re.compile(
    r"\w*(?:passw(?:or)?ds?|passphrases?|passcode|secrets?|token|pwd)|credentials?|creds|dsn|jwt|cookie|authorization|otp|totp|nkey|"
    r"(?:api|access|secret|private|signing|encryption|master|auth|ssh|hmac|service|session)keys?|(?:access|auth|refresh|bearer)tokens"
)
"""words that make a name one of a secret"""

_PAIRS = re.compile(
    r"(?:api|secret|access|private|signing|encryption|auth|master) keys|(?:access|auth|refresh|bearer|api) tokens|connection string|auth config|"
    r"(?:auth|authorization|reset|invite|invitation|verification|login|device|access|time) code|nkey seed|(?:key|passw(?:or)?d|secret|token) hash"
)
"""two words that do"""

_AFTER_ANOTHER = {"key", "auth", "pass", "pat"}
"""words that do so after another one: ``OPENAI_KEY``, ``NPM_AUTH``; alone they are words of every document"""

_OTHER_KINDS = re.compile(
    r"(?:publishable|primary|partition|sort|cache|routing|hot|foreign|idempotency|surrogate|shard|socket) key|"
    r"(?:page|continuation|max|min|per|stop|eos|bos|pad|unk) token|(?:first|second|last|all|must|by) pass"
)
"""two words that make it something else"""

_IN_PARAMETERS = frozenset({"auth", "oauth", "sig", "signature", "hmac", "sid"})
"""words of headers and query parameters that carry a credential; elsewhere they are the names of services and of states"""


@lru_cache(4096)
def is_secret_name(name: str) -> bool:
    """Whether a variable or a field of that name holds a secret: ``JWT_SECRET`` and ``apiKey`` do, ``MAX_TOKENS`` does not.

    The last word decides, so that ``SIGNING_KEY_FILE``, ``KEY_ID`` and ``TOKEN_TTL`` are none.
    """
    words = _words(name)
    while words and _SUFFIXES.fullmatch(words[-1]):
        words.pop()
    # Public values: PUBLIC_KEY, NEXT_PUBLIC_API_KEY.
    if not words or "public" in words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if _OTHER_KINDS.fullmatch(f"{before} {last}"):
        return False
    if last in _AFTER_ANOTHER:
        return bool(before) or (last == "key" and "KEY" in name)
    return bool(_ALWAYS.fullmatch(last) or _PAIRS.fullmatch(f"{before} {last}"))


@lru_cache(4096)
def is_secret_parameter(name: str) -> bool:
    """Whether a header or a query parameter of that name holds a secret: ``X-Internal-Auth``, ``sig``, ``code``."""
    words = _words(name)
    return is_secret_name(name) or words == ["code"] or not _IN_PARAMETERS.isdisjoint(words)


def _words(name: str) -> list[str]:
    return words_of(name) if len(name) <= _LONGEST else []


# What parts a name from its value: for a name in quotes a colon, or the comma of a pair; for others an equals sign, or a colon.
_NAME = re.compile(
    r"(?<![\w-])-{0,2}+(?P<name>[A-Za-z_][\w-]{0,99}+)"
    r"(?:(?P<quote>\\*+[\"'])\s*+(?P<colon>[:,])\s*+|[ \t]{0,9}+(?P<sign>:(?=[ \t])|=(?!=))[ \t]*+)"
)
_OPTION = re.compile(
    r"(?<![\w-])--(?P<name>[A-Za-z][\w-]{0,99}+)(?:[ \t]{1,9}+|\\*+[\"']\s*+,\s*+\\*+[\"'])(?P<value>[^-\s\"'&,;()\[\]{}<>\\][^\s\"'&,;()\[\]{}<>\\]*+)"
)
SCHEME = re.compile(r"(?:Bearer|Basic|Token)\s{1,9}+", re.IGNORECASE)
_STRING = re.compile(r"[bBfFrRuU]{0,2}+(\\*+)([\"'])")
_PAIR_BEGINS = re.compile(r"\([bB]?\\*[\"']\Z")
_PAIR_ENDS = re.compile(r"\\*+[\"']\s*+\)|\Z")
_NEXT_ITEM = re.compile(r"\\*+[\"']\s*+,\s*+")
# A mask is a value, whatever follows it.
_MASKED = r"\*{3}[0-9a-f]{8}\*{3}|"
_LITERAL = re.compile(_MASKED + r"(?!(?:null|true|false|none)\b)[^\s\"'\\\[{,}\])(]++", re.IGNORECASE)
_PARAMETER = re.compile(_MASKED + r"[^&\s\"'<>]++")
_BARE = re.compile(_MASKED + r"[^\s\"'&,;()\[\]{}<>\\]++(?![(\[\"'])")
_BARE_IN_QUOTES = re.compile(_MASKED + r"[^\s\"'&,;()\[\]{}<>\\]++(?=\\*+[\"'])")
_COOKIES = re.compile(r"[\w-]{1,99}+=[^\r\n]++")
_BEARER = re.compile(r"(?<!\w)(?:Bearer|Basic)\s{1,9}+([\w.~+/=-]{16,}+)", re.IGNORECASE)
_SHORTEST = 6


def named(text: str) -> Iterator[Span]:
    """Yield where values that are named like secrets stand in ``text``; a string without an end goes on to the text's end."""
    done = 0
    for found in _NAME.finditer(text):
        if found.start() >= done and is_secret_parameter(found["name"]):
            for start, end in _values(text, found):
                if start < end:
                    yield start, end
                    done = end


def options(text: str) -> Iterator[Span]:
    """Yield the values of options that are named like secrets, as in ``--password hunter2`` and ``['--password', 'hunter2']``."""
    return (
        found.span("value")
        for found in _OPTION.finditer(text)
        if is_secret_name(found["name"]) and _is_made_up(found["value"])
    )


def bearers(text: str) -> Iterator[Span]:
    """Yield the credentials after the name of an HTTP authentication scheme."""
    return (bearer.span(1) for bearer in _BEARER.finditer(text) if looks_made(bearer[1]))


def _values(text: str, found: re.Match[str]) -> Iterator[Span]:
    name, begins = found["name"], found.start()
    certain = is_secret_name(name)
    if found["colon"] == ",":
        return _in_pair(text, found)
    if found["quote"]:
        return _in_field(text, found.end(), name if certain else None)
    place = found.end()
    is_parameter = found["sign"] == "=" == text[place - 1] and not _STRING.match(text, place)
    # The body of a form begins with its first parameter.
    if is_parameter and (text[begins - 1] in "?&#;" if begins else certain):
        return _in_parameter(text, place)
    return _assigned(text, found) if certain else iter(())


def _in_field(text: str, place: int, name: str | None) -> Iterator[Span]:
    """The value of a JSON field, or of an item of a Python dictionary: a string, a list of strings, a number.

    Without a ``name`` the field has one such as code or signature, which others have as well: a secret looks like one there.
    """
    value = _string(text, place)
    if value:
        if name or looks_made(text[slice(*value)]):
            yield value
    elif name and text.startswith("[", place):
        place += 1
        while value := _string(text, place):
            yield value
            following = _NEXT_ITEM.match(text, value[1])
            place = following.end() if following else len(text)
    elif name and (literal := _LITERAL.match(text, place)) and not (literal[0].isdigit() and name[-1] in "sS"):
        # How many there are of them is no secret.
        yield literal.span()


def _in_pair(text: str, found: re.Match[str]) -> Iterator[Span]:
    """Yield the value of a header that a library logs as a pair: ``(b'Set-Cookie', b'session=1')``."""
    value = _string(text, found.end())
    if (
        value
        and _PAIR_BEGINS.search(text[max(0, found.start() - 9) : found.start()])
        and _PAIR_ENDS.match(text, value[1])
    ):
        yield value


def _in_parameter(text: str, place: int) -> Iterator[Span]:
    value = _PARAMETER.match(text, place)
    if value:
        # A backslash at its end belongs to the quote that follows.
        yield place, place + len(value[0].rstrip("\\"))


def _assigned(text: str, found: re.Match[str]) -> Iterator[Span]:
    """A variable, an argument or a header. What is not in quotes may be code, or a sentence: there the value decides."""
    place, name = found.end(), found["name"]
    line = text.find("\n", place)
    if value := _string(text, place, None if line < 0 else line):
        yield value
    elif scheme := SCHEME.match(text, place):
        yield from (bare.span() for bare in [_bare(text, scheme.end(), found)] if bare)
    elif name.lower().endswith("cookie"):
        yield from (cookies.span() for cookies in [_COOKIES.match(text, place)] if cookies)
    elif bare := _bare(text, place, found):
        value_text = bare[0].rstrip(".:")
        is_variable = name.isupper() and text[place - 1] == "=" and is_literal(value_text, name)
        if is_variable or _is_made_up(value_text):
            yield place, place + len(value_text)


def _bare(text: str, place: int, named: re.Match[str]) -> re.Match[str] | None:
    """Return a value without quotes; where its name begins a string, such as a header that curl is given, it may end with that."""
    begins = named.start()
    in_quotes = begins > 0 and text[begins - 1] in "\"'"
    return _BARE.match(text, place) or (_BARE_IN_QUOTES.match(text, place) if in_quotes else None)


def _is_made_up(value: str) -> bool:
    """Whether a value that is not in quotes is none of a sentence or of code."""
    return len(value) >= _SHORTEST and bool(re.search(r"\d", value) and re.search("[A-Za-z]", value))


def _string(text: str, place: int, end: int | None = None) -> Span | None:
    opening = _STRING.match(text, place)
    if opening is None:
        return None
    return opening.end(), end_of_string(text, opening.end(), len(opening[1]), opening[2], end)
