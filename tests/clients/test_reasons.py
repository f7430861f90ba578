"""Reasons for failed connections."""

from __future__ import annotations

import errno
import ssl
from itertools import pairwise

import pytest

from pytest_gaia.clients.reasons import reason_of


def chained(*errors: BaseException) -> BaseException:
    for above, below in pairwise(errors):
        above.__cause__ = below
    return errors[0]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            chained(RuntimeError("All attempts failed"), OSError(errno.ECONNREFUSED, "Connect call failed")),
            "connection refused",
        ),
        (chained(RuntimeError("x"), ExceptionGroup("y", [OSError(errno.EHOSTUNREACH, "z")])), "no route to host"),
        (chained(RuntimeError("x"), OSError(-2, "Name or service not known")), "Name or service not known"),
        (chained(RuntimeError("above"), ssl.SSLError(1, "bad handshake")), "TLS failed: bad handshake"),
        (RuntimeError("just this"), "just this"),
        (chained(RuntimeError(), ValueError("below")), "below"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_the_reason_is_what_lies_at_the_bottom(error: BaseException, reason: str) -> None:
    assert reason_of(error) == reason
