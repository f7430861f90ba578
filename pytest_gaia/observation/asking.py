"""What there is to ask in an environment: each member, where it is, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from pytest_gaia.clients.wire import broker_address, proxy_for, trusted
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import HTTP_SERVICES, NATS_DISABLED
from pytest_gaia.config.secrets import mask_url
from pytest_gaia.observation.probes import Answer, probe_http, probe_nats, probe_postgres

Ask: TypeAlias = Callable[[float], Answer]

VIA_GATEWAY, DISABLED, ABSENT = "via gateway", "disabled", "not configured"

SLOW_START = 2.0
"""seconds; a first answer that takes longer than this came from a machine that had to wake"""


@dataclass(frozen=True, slots=True)
class Target:
    """One member of an environment."""

    member: str
    endpoint: str
    """where it is, passwords masked; or its state, where there is nothing to ask"""
    ask: Ask | None = None
    """asks it once, within so many seconds; raises ``NotYet`` or ``Dead`` where it does not answer"""


def targets(environment: Environment) -> Iterator[Target]:
    """Yield every member that ``environment`` has or is expected to have.

    Raises ``ConfigError`` where a variable of this machine (a proxy, certificates to trust) or a package that is missing
    would keep every client from a member.
    """
    wait = environment.timeouts.connect
    for service in HTTP_SERVICES:
        if url := environment.urls.get(service):
            proxy_for(url)
            trusted(url)
            yield Target(service, url, _within(max(wait, SLOW_START), partial(probe_http, url)))
        elif service in environment.services:
            yield Target(service, VIA_GATEWAY)
    if environment.nats == NATS_DISABLED:
        yield Target("nats", DISABLED)
    elif url := environment.nats:
        trusted(broker_address(url, environment.sources.get("nats", "nats")).server)
        yield Target("nats", mask_url(url), _within(wait, partial(probe_nats, url)))
    if environment.database is not None:
        dsn = environment.database.reveal()
        yield Target("postgres", mask_url(dsn), _within(wait, partial(probe_postgres, dsn)))
    elif "postgres" in environment.services:
        yield Target("postgres", ABSENT)


def _within(longest: float, probe: Ask) -> Ask:
    return lambda left: probe(min(left, longest))
