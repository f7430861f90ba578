"""Times as the services write them: most without a zone."""

from __future__ import annotations

from datetime import UTC, date, datetime


def naive_now() -> str:
    """Return the present time in UTC without its zone, in ISO 8601."""
    return naive(datetime.now(UTC))


def naive(moment: datetime) -> str:
    """Return ``moment`` in UTC without its zone, in ISO 8601."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat()


def today() -> date:
    """Return the present day in UTC."""
    return datetime.now(UTC).date()
