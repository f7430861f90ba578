"""Values that must not be shown: API keys, tokens, DSNs."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pytest_gaia.secrets.shapes import joined, url_secrets

MASK = "***"
"""mask in the output of commands, where secrets need not be distinguished"""

MASKED = re.compile(r"\*\*\*(?:(?:[0-9a-f]{8}|\d{1,4})\*\*\*)?")
"""any mask"""

# Also a truncated mask at the end of a text.
_DIGEST = re.compile(r"\*\*\*(?:[0-9a-f]{8}\*\*\*|[0-9a-f]{1,8}\*{0,2}$)")


class _Key:
    """The random key of masks in this process; a worker has the key of its controller. It is never written."""

    value = os.urandom(32)


def mask_key() -> str:
    """Return the key of masks, for a process that shares the output."""
    return _Key.value.hex()


def adopt_mask_key(key: str) -> None:
    """Use the key of another process, from :func:`mask_key`."""
    _Key.value = bytes.fromhex(key)


def mask_of(value: str) -> str:
    """Return the mask of ``value``, such as ``***1a2b3c4d***``: a digest with the key of this run.

    Equal values have equal masks in all processes of one run. Every run has a new key. A mask stays unchanged.
    """
    if MASKED.fullmatch(value):
        return value
    # Imported here, because most runs mask nothing.
    from hashlib import blake2b

    digest = blake2b(value.encode(errors="surrogatepass"), digest_size=4, key=_Key.value)
    return f"{MASK}{digest.hexdigest()}{MASK}"


def ordinal_mask(number: int) -> str:
    """Return the mask of a secret in the id of a test, such as ``***1***``, which is the same in every run."""
    return f"{MASK}{number}{MASK}"


def unkeyed(text: str) -> str:
    """Return ``text`` with the same mask for all secrets, so that two runs can be compared."""
    return _DIGEST.sub(MASK, text) if MASK in text else text


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A value that only :meth:`reveal` returns; ``repr``, ``str`` and ``format`` return a mask."""

    _value: str

    def reveal(self) -> str:
        """Return the value itself. Review every use of this method."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({mask_of(self._value)!r})"

    def __str__(self) -> str:
        return mask_of(self._value)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def mask_url(text: str, mask: Callable[[str], str] = lambda _: MASK) -> str:
    """Replace secrets in every URL in ``text``, such as passwords, with the result of ``mask``.

    >>> mask_url("nats://gaia:s3cret@localhost:4222")
    'nats://gaia:***@localhost:4222'
    """

    pieces, done = [], 0
    for start, end in joined((*url_secrets(text, cut=False), *_in_queries(text))) if "://" in text else ():
        pieces += [text[done:start], mask(text[start:end])]
        done = end
    return "".join((*pieces, text[done:]))


_PARAMETER = re.compile(r"[?&]([^=&#\s]+)=([^&#\s\"'`]+)")


def _in_queries(text: str) -> Iterator[tuple[int, int]]:
    """Yield the places of values of secret parameters, such as ``password`` in the query of a DSN."""
    # Imported here, because a run without Gaia needs no names.
    from pytest_gaia.secrets.names import is_secret_parameter

    return (found.span(2) for found in _PARAMETER.finditer(text) if is_secret_parameter(found[1]))
