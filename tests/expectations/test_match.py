"""How a failure must look, and what is said of one that looks different."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gaia.expectations.subjects import KEYS, FailureDetails, Match, mismatch
from tests.expectations.build import answered

UNAVAILABLE = FailureDetails(
    phase="call",
    kind="http",
    message="Expected 200, got 503:\n  Service   Unavailable",
    status=503,
    service="chat",
    via="gateway",
    route="/api/v1/chat",
    method="POST",
    sqlstate="42501",
    reason="NoRespondersError",
)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"kind": ("http",)},
        {"status": (404, 503)},
        {"service": ("chat",), "via": ("gateway",)},
        {"route": ("/api/v1/chat",), "method": ("POST",)},
        {"message": ("service unavailable",)},
        {"message": ("nothing like it", "GOT 503")},
        {"sqlstate": ("42501",), "reason": ("NoRespondersError",)},
    ],
)
def test_a_failure_that_fits_every_field_matches(asked: dict[str, Any]) -> None:
    assert mismatch(Match(**asked), UNAVAILABLE) == ()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"status": (404, 500)}, "status 503, expected 404|500"),
        ({"kind": ("timeout",)}, "kind http, expected timeout"),
        ({"via": ("direct",)}, "via gateway, expected direct"),
        ({"route": ("/api/v1/chats",)}, "route /api/v1/chat, expected /api/v1/chats"),
        ({"method": ("post",)}, "method POST, expected post"),
        ({"message": ("timed out",)}, 'message "Expected 200, got 503: Service Unavailable", expected "timed out"'),
    ],
)
def test_one_field_that_differs_is_named_with_what_was_expected(asked: dict[str, Any], said: str) -> None:
    assert mismatch(Match(**asked), UNAVAILABLE) == (said,)


def test_every_field_that_differs_is_named() -> None:
    assert mismatch(Match(status=(404,), service=("asset",)), UNAVAILABLE) == (
        "status 503, expected 404",
        "service chat, expected asset",
    )


def test_what_is_not_known_does_not_match() -> None:
    timeout = FailureDetails("call", "timeout", "no response in 30 s")

    assert mismatch(Match(status=(503,), sqlstate=("42501",)), timeout) == (
        "no status, expected 503",
        "no sqlstate, expected 42501",
    )


def test_a_long_message_is_cut() -> None:
    (said,) = mismatch(Match(message=("x",)), answered(500, message="a " * 400))

    assert len(said) < 120


def test_a_crash_is_never_matched() -> None:
    crash = FailureDetails("call", "crash", "worker gw0 crashed")

    assert mismatch(Match(message=("crashed",)), crash) == ("kind crash, which always blocks",)
    assert "kind crash, which always blocks" in mismatch(Match(kind=("crash",)), crash)


def test_the_fields_are_those_of_a_details() -> None:
    assert all(hasattr(UNAVAILABLE, key) for key in KEYS)
