"""Which names are names of secrets: the one decision for variables, JSON fields, headers and query parameters."""

from __future__ import annotations

import re
from functools import lru_cache

_LONGEST = 256
"""characters; a longer text is no name"""

# API_KEY, api-key, apiKey and APIKey are the same two words.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

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
    # What is public says so: PUBLIC_KEY, NEXT_PUBLIC_API_KEY.
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
    return [word.lower() for word in _WORD.findall(name)] if len(name) <= _LONGEST else []
