"""What there is to ask in an environment (each member, where it is, how it is asked), and asking many at the same time."""

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
from pytest_gaia.observation.probes import ProbeResult, probe_http, probe_nats, probe_postgres
from pytest_gaia.secrets.masks import mask_url

T = TypeVar("T")
Ask: TypeAlias = Callable[[float], ProbeResult]

VIA_GATEWAY, DISABLED, ABSENT = "via gateway", "disabled", "not configured"

_LOOK = 0.2
"""seconds of one wait for an answer, after which a signal is heard, and what is no longer wanted is noticed"""
SLOW_START = 2.0
"""seconds; a first answer that takes longer than this came from a machine that had to wake"""


@dataclass(frozen=True, slots=True)
class Target:
    """One member of an environment."""

    service: str
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


def ask_all(
    asks: Mapping[str, Callable[[], T]],
    *,
    deadline: float = math.inf,
    waiting: Callable[[tuple[str, ...]], None] = lambda _: None,
    unwanted: Callable[[], bool] = lambda: False,
    abandoned: bool = True,
) -> dict[str, T]:
    """Call all of ``asks`` at once, each on a thread of its own; return name → answer of those that came in time.

    ``deadline`` is in seconds. ``waiting`` is called about five times a second with the names of those that have not
    answered; the wait ends at once when ``unwanted`` says so. What one of them raises is raised here. With ``abandoned``,
    the end of this process does not wait for those that go on: a look-up that hangs in the system's resolver must not
    hold it up.
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
