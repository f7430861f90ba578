"""Exchanges in words: one line each, for the section that a failed test shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gaia.clients.exchanges import Exchange


def summary(exchanges: Sequence[Exchange]) -> str:
    """Return one line an exchange: what was asked, of whom, what came back, how long it took."""
    return "\n".join(_line(exchange) for exchange in exchanges)


def _line(exchange: Exchange) -> str:
    result = exchange.error or f"{exchange.status}"
    attempt = f", attempt {exchange.attempt}" if exchange.attempt > 1 else ""
    return (
        f"{exchange.request.method} {exchange.request.url} ({exchange.service}, {exchange.via}) → {result}, "
        f"{exchange.elapsed * 1000:.0f} ms{attempt}"
    )
