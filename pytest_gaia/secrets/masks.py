"""Values that must not be shown: API keys, tokens, DSNs."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from pytest_gaia.secrets.shapes import joined, url_secrets

MASK = "***"
"""stands for a secret where commands show what is configured: there is nothing to tell apart"""

MASKED = re.compile(r"\*\*\*(?:(?:[0-9a-f]{8}|\d{1,4})\*\*\*)?")
"""everything that stands for a secret"""

# At the end of a text that was cut, as much of a mask as is left.
_DIGEST = re.compile(r"\*\*\*(?:[0-9a-f]{8}\*\*\*|[0-9a-f]{1,8}\*{0,2}$)")


class _Key:
    """The key by which this process makes masks: random, never written, and that of its controller on a worker."""

    value = os.urandom(32)


def mask_key() -> str:
    """Return the key of this process's masks, for a process that shares its output."""
    return _Key.value.hex()


def adopt_mask_key(key: str) -> None:
    """Make masks as the process does that :func:`mask_key` was asked in."""
    _Key.value = bytes.fromhex(key)


def mask_of(value: str) -> str:
    """Return what stands for ``value``, such as ``***1a2b3c4d***``: a digest that only this run's key can make.

    Equal values have equal masks in all processes of one run, other values other ones, and every run has a new key. What
    is a mask already stays as it is.
    """
    if MASKED.fullmatch(value):
        return value
    # Only who masks something pays for the import.
    from hashlib import blake2b

    digest = blake2b(value.encode(errors="surrogatepass"), digest_size=4, key=_Key.value)
    return f"{MASK}{digest.hexdigest()}{MASK}"


def ordinal_mask(number: int) -> str:
    """Return what stands for a secret in the id of a test, such as ``***1***``: it has to be the same in every run."""
    return f"{MASK}{number}{MASK}"


def unkeyed(text: str) -> str:
    """Return ``text`` with one mask for all secrets, so that two runs of the same say the same."""
    return _DIGEST.sub(MASK, text) if MASK in text else text


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A value that shows itself only through :meth:`reveal`; ``repr``, ``str`` and ``format`` give a mask."""

    _value: str

    def reveal(self) -> str:
        """Return the value itself. Every use of it is a place to look at when secrets are reviewed."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({mask_of(self._value)!r})"

    def __str__(self) -> str:
        return mask_of(self._value)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def mask_url(text: str, mask: Callable[[str], str] = lambda _: MASK) -> str:
    """Replace what is secret in every URL in ``text``, such as its password, by what ``mask`` makes of it.

    >>> mask_url("nats://gaia:s3cret@localhost:4222")
    'nats://gaia:***@localhost:4222'
    """

    pieces, done = [], 0
    for start, end in joined(url_secrets(text, cut=False)) if "://" in text else ():
        pieces += [text[done:start], mask(text[start:end])]
        done = end
    return "".join((*pieces, text[done:]))
