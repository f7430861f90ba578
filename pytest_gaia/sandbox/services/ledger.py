"""What the providers cost, day by day: the same day always has the same figures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple


class Rate(NamedTuple):
    """How a provider is billed: ``unit`` names what its requests make, ``price`` is in USD for one of them."""

    operation: str
    unit: str
    price: float
    per_request: int = 1
    """units that one request makes"""
    daily: int = 1
    """requests on a day, at least"""


RATES = {
    "dalle": Rate("image_generation", "images", 0.04, daily=12),
    "meshy": Rate("text_to_3d", "models", 0.2, daily=1),
    "stability": Rate("image_generation", "images", 0.01, daily=5),
    "claude": Rate("chat", "tokens", 0.000008, per_request=200, daily=40),
    "openai_gpt": Rate("chat", "tokens", 0.00001, per_request=300, daily=30),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What one provider did: requests, units of its rate, and USD."""

    requests: int
    units: int
    cost: float

    def __add__(self, other: Entry) -> Entry:
        return Entry(self.requests + other.requests, self.units + other.units, money(self.cost + other.cost))


NOTHING = Entry(0, 0, 0.0)


def money(amount: float) -> float:
    """Return USD rounded to a hundredth of a cent."""
    return round(amount, 4)


def on_day(day: date, provider: str) -> Entry:
    """Return what a provider did on one day."""
    rate = RATES[provider]
    requests = rate.daily + day.toordinal() % 5
    units = requests * rate.per_request
    return Entry(requests, units, money(units * rate.price))


def over(days: list[date], provider: str) -> Entry:
    """Return what a provider did on all of the days."""
    return sum((on_day(day, provider) for day in days), NOTHING)


def span(start: date, end: date) -> list[date]:
    """Return the days from ``start`` to ``end``, both included."""
    return [start + timedelta(offset) for offset in range((end - start).days + 1)]


def units_of(entries: dict[str, Entry], unit: str) -> int:
    """Return the units of one kind over all providers."""
    return sum(entry.units for provider, entry in entries.items() if RATES[provider].unit == unit)
