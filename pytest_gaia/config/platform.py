"""Names of the services. Every pytest run imports this module, so it imports almost nothing."""

from collections.abc import Iterable

HTTP_SERVICES = ("gateway", "auth", "asset", "chat")
"""Services with an HTTP API; ``gateway`` is the entry to the others."""

SERVICES = (*HTTP_SERVICES, "nats", "postgres")
"""All services that an environment can have."""

NATS_DISABLED = "disabled"
"""Value for the URL of NATS in environments that do not have it."""


_WAVES = (("nats", "postgres"), ("auth", "asset", "chat"), ("gateway",))
_UNKNOWN_WAVE = 1
"""wave of services with other names"""


def in_order(services: Iterable[str]) -> tuple[str, ...]:
    """Return ``services`` without duplicates: NATS and PostgreSQL, then the backends, then the gateway."""
    return tuple(sorted(set(services), key=_place))


def _place(service: str) -> tuple[int, int, str]:
    for number, wave in enumerate(_WAVES):
        if service in wave:
            return number, wave.index(service), service
    return _UNKNOWN_WAVE, len(_WAVES[_UNKNOWN_WAVE]), service
