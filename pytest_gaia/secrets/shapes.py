"""Recognize secrets by their shape: tokens with known prefixes, private keys, and secrets in URLs.

Every search here takes time in proportion to the text, whatever it holds: what a pattern has taken it never gives back, and
no part of a text is searched again for each sign in it.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple, TypeAlias

# API_KEY, api-key, apiKey and APIKey are the same two words.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

Span: TypeAlias = tuple[int, int]
"""start and end of a secret in a text"""

JWT = "a signed token (JWT)"


class _Shape(NamedTuple):
    head: str
    body: str
    """characters that may follow the head"""
    least: int
    """how many of them make a token"""
    cut: int = 8
    """how many make the beginning of one, where the text ends or dots follow"""


_NEVER = 10_000
_SHAPES = {
    # Two parts or more; a shorter one is only the beginning of a token.
    JWT: _Shape("eyJ", r"\w.-", 0),
    "an API key of Anthropic": _Shape("sk-ant-", r"\w-", 20),
    "an API key of OpenAI": _Shape("sk-(?:proj-|svcacct-)?", r"\w-", 32, _NEVER),
    "a token of Fly.io": _Shape(r"(?:FlyV1\s{1,9})?(?:fm[12][a-z]?|fo1)_", r"\w+/=.,-", 5),
    "a token of GitHub": _Shape("(?:gh[pousr]|github_pat)_", r"\w", 30),
    "a token of GitLab": _Shape("gl(?:pat|ptt|dt|rt|cbt|soat)-", r"\w.-", 20),
    "a token of Supabase": _Shape("sb(?:p|_secret)_", r"\w", 20, _NEVER),
    "a token of Slack": _Shape("xox[abeoprs]-", r"\w-", 10),
    "a key of AWS": _Shape("(?:AKIA|ASIA)", "0-9A-Z", 16),
    "a key of Google": _Shape("AIza", r"\w-", 35),
    "a secret key of Stripe": _Shape("(?:[rs]k_live|whsec)_", r"\w", 16),
    "a token of Hugging Face": _Shape("hf_", "A-Za-z0-9", 30, _NEVER),
    "a token of npm": _Shape("npm_", "A-Za-z0-9", 36, _NEVER),
    "a token of PyPI": _Shape("pypi-", r"\w-", 50, _NEVER),
    "a key of SendGrid": _Shape(r"SG\.", r"\w.-", 40, _NEVER),
    "a seed of NATS": _Shape("S[UANOC]", "A-Z2-7", 54, _NEVER),
    "a key of age": _Shape("AGE-SECRET-KEY-1", "0-9A-Z", 16),
}
"""kind of token → how it looks"""


def words_of(name: str) -> list[str]:
    """Return the words of a name, in lower case."""
    return [word.lower() for word in _WORD.findall(name)]


def joined(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield ``spans`` in their order, those that overlap as one."""
    start = end = -1
    for each in sorted(spans):
        if each[0] < end:
            end = max(end, each[1])
            continue
        if end >= 0:
            yield start, end
        start, end = each
    if end >= 0:
        yield start, end


CUT = re.compile(r"\.\.\.|…|\Z")
"""what follows where a secret was cut"""


@cache
def _tokens_pattern() -> re.Pattern[str]:
    return re.compile(
        rf"(?<![A-Za-z0-9])(?:{'|'.join(f'{head}([{body}]{{4,}}+)' for head, body, *_ in _SHAPES.values())})"
    )


def tokens(text: str, *, cut: bool = True) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and kind of every token that is known by how it begins; with ``cut`` also where its end was cut off."""
    shapes = list(_SHAPES.items())
    for found in _tokens_pattern().finditer(text):
        group = found.lastindex or 1
        kind, shape = shapes[group - 1]
        body = found[group].rstrip(".,")
        end = found.start(group) + len(body)
        is_whole = "." in body if kind == JWT else len(body) >= shape.least
        if is_whole or (cut and len(body) >= shape.cut and CUT.match(text, end)):
            yield found.start(), end, kind


KEY_MARK = re.compile(r"-----(?:(BEGIN)|END) [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
"""first and last line of a private key in PEM; the group is there in the first alone"""
_KEY_LINE = 16
"""characters of Base64 that count as a line of a key next to its first or last line"""
_KEY_TEXT = re.compile(
    rf"(?:(?:\\[nrt]|(?:E|[+-])(?=\s)|[^\w+/=])*+[A-Za-z0-9+/=]{{{_KEY_LINE},}}+)*+"
    # What follows the last whole line is the last piece of it, or a word too many.
    r"(?:(?:\\[nr]|(?:E|[+-])(?=\s)|\s)*+[A-Za-z0-9+/=]++)?"
)
_KEY_WORD = re.compile(r"(?:\\[nr])?([A-Za-z0-9+/=]+)")
_BESIDE_KEY = " \r\n\t\\nrE>|\"',+"


def private_keys(text: str) -> Iterator[Span]:
    """Yield every private key in PEM, over lines, and what is left of one whose beginning or end was cut off."""
    begun, done = None, 0
    for mark in KEY_MARK.finditer(text):
        if begun is not None and mark[1]:
            yield begun, _key_end(text, done)
        if mark[1]:
            begun = mark.start()
        else:
            yield _key_start(text, done, mark.start()) if begun is None else begun, mark.end()
            begun = None
        done = mark.end()
    if begun is not None:
        yield begun, _key_end(text, done)


def _key_end(text: str, place: int) -> int:
    found = _KEY_TEXT.match(text, place)
    return found.end() if found else place


def _key_start(text: str, least: int, end: int) -> int:
    start = end
    for word in reversed(list(_KEY_WORD.finditer(text, least, end))):
        if text[word.end() : start].strip(_BESIDE_KEY) or (start != end and len(word[1]) < _KEY_LINE):
            break
        start = word.start(1)
    return start


_CLOSING = {quote: re.compile(rf"(?<!\\)(\\*+){quote}") for quote in "\"'`"}


def end_of_string(text: str, start: int, escapes: int, quote: str, end: int | None = None) -> int:
    """Return where the string ends whose opening ``quote``, behind ``escapes`` backslashes, stands before ``start``.

    A quote behind more backslashes is part of the string: JSON in JSON has its quotes escaped, at any depth. Without a closing
    quote the string goes on to ``end``.
    """
    end = len(text) if end is None else end
    for found in _CLOSING[quote].finditer(text, start, end):
        if len(found[1]) <= escapes:
            return found.start()
    return end


_BLANK = re.compile(r"\s")
_SCHEME = re.compile(r"[a-z][a-z0-9+]{0,19}\Z", re.IGNORECASE)
_NEXT_URL = re.compile(r",(?=[a-z][a-z0-9+]{0,19}://)", re.IGNORECASE)
_USER = re.compile(r"(?:\[[^\s\]@]{0,99}\])?[^:/?#]*+")
_PORT = re.compile(r":\d{0,5}(?=[/?#]|\Z)")
_PORT_AT_END = re.compile(r":(?:\d{0,5}(?!\w)|[{$<%])")
_SEGMENT = re.compile(r"(?<=/)[\w.~=-]{20,}+")
_HTTP = ("http", "https", "ws", "wss")
_TOKEN = ("nats", "tls", "ws", "wss")
"""schemes whose URLs may have a token in the place of user and password"""


def url_secrets(text: str, *, cut: bool = True) -> Iterator[Span]:
    """Yield what is secret in the URLs of ``text``: credentials, and random words in the path."""
    for place, end in _urls(text):
        yield from _in_urls(text, place, end, cut=cut)
        if _scheme(text, place) in _HTTP:
            yield from _random_segments(text, place + len("://"), end)


def url_credentials(text: str, *, cut: bool = True) -> Iterator[Span]:
    """Yield the passwords of URLs, and the token of a NATS URL; with ``cut`` also of one that was cut off before its ``@``.

    A password ends at the last ``@`` of its URL: an ``@``, ``:`` or ``/`` that should have been encoded is part of it.
    """
    for place, end in _urls(text):
        yield from _in_urls(text, place, end, cut=cut)


def _urls(text: str) -> Iterator[Span]:
    """Yield the places of ``://``, each with where the text ends that begins there; there may be more of them in it."""
    place = text.find("://")
    while place >= 0:
        end = _url_end(text, place)
        yield place, end
        place = text.find("://", end)


def _scheme(text: str, place: int) -> str:
    found = _SCHEME.search(text, max(0, place - 20), place)
    return found[0].lower() if found else ""


def _url_end(text: str, place: int) -> int:
    """Return where a URL ends: with the quotes in which it stands, or before a blank."""
    blank = _BLANK.search(text, place)
    end = blank.start() if blank else len(text)
    before = place - len(_scheme(text, place)) - 1
    if before < 0 or text[before] not in _CLOSING:
        return end
    escapes = 0
    while escapes < before and text[before - escapes - 1] == "\\":
        escapes += 1
    return end_of_string(text, place, escapes, text[before], end)


def _in_urls(text: str, begin: int, end: int, *, cut: bool) -> Iterator[Span]:
    """Yield what is secret in URLs that follow one another with commas, as those of a cluster do."""
    for comma in _NEXT_URL.finditer(text, begin, end):
        yield from _in_url(text, begin, comma.start(), cut=False)
        begin = comma.end()
    yield from _in_url(text, begin, end, cut=cut)


def _in_url(text: str, begin: int, end: int, *, cut: bool) -> Iterator[Span]:
    """Yield what is secret in one URL; one may stand in another, and the first that has a secret has all up to the last ``@``."""
    at = text.rfind("@", begin, end)
    place = text.find("://", begin, end)
    while place >= 0:
        after = place + 1
        if at > place:
            found = _credentials(text, place, at)
            after = at if found else after
        else:
            found = _cut_credentials(text, place, end) if cut else None
        if found and found[0] < found[1]:
            yield found
        place = text.find("://", after, end)


def _credentials(text: str, place: int, at: int) -> Span | None:
    start, scheme = place + len("://"), _scheme(text, place)
    user = _end_of_user(text, start, at)
    if user == at:
        return (start, at) if scheme in _TOKEN or looks_random(text[start:at]) else None
    if text[user] != ":":
        return (start, at) if scheme in ("nats", "tls") else None
    # Many services take a key for the user, with an empty password or with any.
    if scheme in _HTTP and user + 1 == at:
        return (start, user)
    # http://host:8000/@scope and postgresql://user@host:5432/d?mail=a@b have a port there, and no password.
    is_port = (scheme in _HTTP or text[start] == "[" or "@" in text[start:user]) and _PORT.match(text, user, at)
    if is_port:
        return None
    return (start if scheme in _HTTP and looks_random(text[start:user]) else user + 1, at)


def _cut_credentials(text: str, place: int, end: int) -> Span | None:
    """Where a URL was cut before its ``@``, what cannot be a port is the beginning of a password."""
    user = _end_of_user(text, place + len("://"), end)
    is_cut = CUT.match(text, end) or text.endswith(("...", "…"), place, end)
    is_password = text.startswith(":", user, end) and not _PORT_AT_END.match(text, user, end)
    return (user + 1, end) if is_cut and is_password else None


def _end_of_user(text: str, start: int, end: int) -> int:
    user = _USER.match(text, start, end)
    return user.end() if user else start


def _random_segments(text: str, start: int, end: int) -> Iterator[Span]:
    for segment in _SEGMENT.finditer(text, _end_of_user(text, start, end), end):
        if looks_random(segment[0]):
            yield segment.span()


_MADE = re.compile(r"[\w+/=.~-]{16,}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{40}", re.IGNORECASE)
_PIECE = re.compile(r"[A-Za-z0-9]+")
_WORDS = re.compile(r"\d+|[A-Z]+|[A-Za-z]?[a-z]+(?:[A-Z][a-z]+)*|[vV]\d+|\d{8}[tT]\d{4,6}[zZ]?")
_RANDOM = 16
_SHARE = 0.65


def looks_made(value: str) -> bool:
    """Whether a machine has made up ``value``, so that it turns up nowhere by chance; others are words."""
    return bool(_MADE.fullmatch(value)) and any(map(str.isdigit, value)) and any(map(str.isalpha, value))


def looks_random(word: str) -> bool:
    """Whether a part of a path is at least 20 random characters: no UUID, id of a commit, date, or words joined by hyphens."""
    if len(word) < 20 or _UUID.fullmatch(word):
        return False
    pieces = (piece for piece in _PIECE.findall(word) if not _WORDS.fullmatch(piece))
    return sum(map(len, pieces)) >= min(_RANDOM, _SHARE * len(word))


_REFERENCE = re.compile(r"\$\{\{.*\}\}|\$\{[^}]*\}|\$[A-Za-z_]\w*|\{\{.*\}\}|<[^>]*>|\*+|…|\.{3}|%\w+%")
"""a value that stands for one that comes from elsewhere"""

_DEFAULT_IN_REFERENCE = re.compile(r"\$\{\w+:?-(?P<value>[^}]+)\}")

_PLAIN_VALUES = {"", "true", "false", "yes", "no", "on", "off", "none", "null", "disabled", "enabled", "required"}

_LONG_NUMBER = 10

_HOST = re.compile(r"@(\[[\w:.]+\]|[\w.-]+)")
_PLACEHOLDERS = frozenset(
    ["dummy", "fake", "test", "testing", "example", "placeholder", "changeme", "mock", "sample", "insecure", "foo"]
)
"""words of a value that opens nothing"""
_DEFAULTS = frozenset(["postgres", "password", "root", "admin", "guest", "minioadmin", "secret"])
"""values that a container comes with"""
_RANDOM_PIECE = re.compile(r"(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{8,}")
_LONGEST_PLACEHOLDER = 60


def secret_shape(text: str) -> str | None:
    """Return in words which credential ``text`` shows by its shape alone, or None."""
    for start, end, kind in tokens(text, cut=False):
        # A signed token has three parts, and two of them are JSON; anything less may be harmless.
        if kind != JWT or re.fullmatch(r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+", text[start:end]):
            return kind
    if any(private_keys(text)):
        return "a private key"
    # A URL may be put together from references: postgres://${USER}:${PASSWORD}@db.
    if any(not _is_reference(text[start:end]) for start, end in url_credentials(text, cut=False)):
        return "a password in a URL"
    return None


def is_placeholder(value: str) -> bool:
    """Whether ``value`` is written where a secret is expected and none is needed: ``dummy``, ``test-secret-for-ci``."""
    words = words_of(value[: _LONGEST_PLACEHOLDER + 1])
    is_random = any(map(_RANDOM_PIECE.fullmatch, re.split(r"[^A-Za-z0-9]+", value)))
    return (
        len(value) <= _LONGEST_PLACEHOLDER
        and not is_random
        and (value.lower() in _DEFAULTS or not _PLACEHOLDERS.isdisjoint(words))
    )


def password_hosts(text: str) -> list[str]:
    """Return the hosts of the URLs in ``text`` that hold a password."""
    spans = [span for span in url_credentials(text, cut=False) if not _is_reference(text[slice(*span)])]
    found = (_HOST.match(text, end) for _, end in spans)
    return [match[1].strip("[]") if match else "" for match in found]


def is_literal(value: str, variable: str = "PASSWORD") -> bool:
    """Whether ``value`` stands for itself, and not for something that comes from elsewhere or is no secret at all.

    A short number is a secret only where the ``variable`` is named after a password: ``MAX_TOKEN`` is a limit.
    """
    text = value.strip()
    default = _DEFAULT_IN_REFERENCE.fullmatch(text)
    if default:
        return is_literal(default["value"], variable)
    if text.isdigit() and len(text) < _LONG_NUMBER and not re.search("PASS|PWD|SECRET", variable, re.IGNORECASE):
        return False
    return text.lower() not in _PLAIN_VALUES and not _is_reference(text) and not text.startswith(("/", "http"))


def _is_reference(text: str) -> bool:
    return bool(_REFERENCE.fullmatch(text.strip())) or "${" in text or "{{" in text
