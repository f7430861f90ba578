"""What the Gaia Platform is made of, by name. Every pytest run imports this module, so it imports nothing itself."""

from collections.abc import Iterable

HTTP_SERVICES = ("gateway", "auth", "asset", "chat")
"""The services that answer HTTP; ``gateway`` is the entry to all others."""

SERVICES = (*HTTP_SERVICES, "nats", "postgres")
"""Everything that an environment can be made of."""

NATS_DISABLED = "disabled"
"""The URL by which the platform says that an environment has no broker. It is understood, never dialled."""


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
