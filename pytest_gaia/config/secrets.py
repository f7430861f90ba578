"""Values that must not be shown: API keys, tokens, DSNs."""

from __future__ import annotations

import re
from dataclasses import dataclass

MASK = "***"

# A scheme starts at a word's start, and every part has a bound: without that, a long text takes minutes.
_URL_PASSWORD = re.compile(
    r"(?<![a-z0-9+.-])(?P<scheme>[a-z][a-z0-9+.-]{0,19}://)(?P<user>[^:/@\s]{0,99}):(?P<password>[^@\s]{1,999})@",
    re.IGNORECASE,
)
_NATS_TOKEN = re.compile(r"(?P<scheme>(?:nats|tls|wss?)://)[^:/@\s]+@", re.IGNORECASE)


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A value that shows itself only through :meth:`reveal`; ``repr``, ``str`` and ``format`` give a mask."""

    _value: str

    def reveal(self) -> str:
        """Return the value itself. Every use of it is a place to look at when secrets are reviewed."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)


def mask_url(text: str) -> str:
    """Replace the password of every URL in ``text``, and the token of a NATS URL.

    >>> mask_url("nats://gaia:s3cret@localhost:4222")
    'nats://gaia:***@localhost:4222'
    """
    text = _URL_PASSWORD.sub(rf"\g<scheme>\g<user>:{MASK}@", text)
    return _NATS_TOKEN.sub(rf"\g<scheme>{MASK}@", text)
