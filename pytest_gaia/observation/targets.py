"""The services of an environment and their probes, and running several probes in parallel."""

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

from pytest_gaia.clients.wire import broker_address, proxy_for, trusted
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import HTTP_SERVICES, NATS_DISABLED
from pytest_gaia.observation.http_probe import probe_http
from pytest_gaia.observation.probes import ProbeResult, probe_nats, probe_postgres
from pytest_gaia.secrets.masks import mask_url

T = TypeVar("T")
Ask: TypeAlias = Callable[[float], ProbeResult]

VIA_GATEWAY, DISABLED, ABSENT = "via gateway", "disabled", "not configured"

_LOOK = 0.2
"""seconds between checks for signals and cancellation"""
SLOW_START = 2.0
"""seconds; a slower first response means that the machine was suspended"""


@dataclass(frozen=True, slots=True)
class Target:
    """One service of an environment."""

    service: str
    endpoint: str
    """its address, with masked passwords; or its state if it cannot be probed"""
    ask: Ask | None = None
    """probe it once within a number of seconds; raises ``ProbeError``"""


def targets(environment: Environment) -> Iterator[Target]:
    """Yield every service that ``environment`` has or is expected to have.

    Raises ``ConfigError`` for an invalid variable of this machine (proxy, certificates) or a missing package, which
    would prevent every connection to a service.
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


def run_all(
    asks: Mapping[str, Callable[[], T]],
    *,
    deadline: float = math.inf,
    waiting: Callable[[tuple[str, ...]], None] = lambda _: None,
    unwanted: Callable[[], bool] = lambda: False,
    abandoned: bool = True,
) -> dict[str, T]:
    """Run all of ``asks`` in parallel threads; return name → result of those that finished within ``deadline`` seconds.

    ``waiting`` is called about five times a second with the unfinished names. The wait ends when ``unwanted`` returns
    true. An exception of one of them is raised here. With ``abandoned``, the process can exit while some still run, such
    as a name lookup that hangs in the resolver.
    """
    results: queue.SimpleQueue[tuple[str, T | BaseException]] = queue.SimpleQueue()

    def ask(name: str) -> None:
        try:
            results.put((name, asks[name]()))
        # Raised again on the thread of the caller.
        except BaseException as problem:  # noqa: BLE001
            results.put((name, problem))

    for name in asks:
        threading.Thread(target=ask, args=(name,), daemon=abandoned, name=f"gaia-{name}").start()
    until = time.monotonic() + deadline
    found: dict[str, T] = {}
    while len(found) < len(asks) and not unwanted():
        left = until - time.monotonic()
        try:
            name, result = results.get(timeout=max(0.0, min(_LOOK, left)))
        except queue.Empty:
            if left <= 0:
                break
            waiting(tuple(each for each in asks if each not in found))
            continue
        if isinstance(result, BaseException):
            raise result
        found[name] = result
    return found
