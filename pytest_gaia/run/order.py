"""The order in which services are deployed: what others need comes first, and what needs all others last."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_WAVES = (("nats", "postgres"), ("auth", "asset", "chat"), ("gateway",))
_BESIDE_THE_BACKENDS = 1
"""the wave of a service that the platform does not know"""


def in_order(services: Iterable[str]) -> tuple[str, ...]:
    """Return ``services``, each once: the broker and the database, then the backends, then the gateway."""
    return tuple(sorted(set(services), key=_place))


def _place(service: str) -> tuple[int, int, str]:
    for number, wave in enumerate(_WAVES):
        if service in wave:
            return number, wave.index(service), service
    return _BESIDE_THE_BACKENDS, len(_WAVES[_BESIDE_THE_BACKENDS]), service
