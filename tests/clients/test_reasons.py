"""What is known of a peer."""

from __future__ import annotations

import errno
import ssl
from itertools import pairwise

import pytest

from pytest_gaia.clients.reasons import is_loopback, reason_of


@pytest.mark.parametrize("host", ["localhost", "db.localhost", "127.0.0.1", "127.8.9.10", "::1"])
def test_this_machine_is_recognised(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "gaia.fly.dev", "10.0.0.1", "localhost.example.com", "::2", "0.0.0.0"])
def test_other_machines_are_not_this_one(host: str) -> None:
    assert not is_loopback(host)


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
        (chained(RuntimeError("above"), ssl.SSLError(1, "wrong version number")), "above"),
        (RuntimeError("just this"), "just this"),
        (chained(RuntimeError(), ValueError("below")), "below"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_the_reason_is_what_lies_at_the_bottom(error: BaseException, reason: str) -> None:
    assert reason_of(error) == reason
