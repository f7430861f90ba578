"""The services of an environment and their probes, and running several probes in parallel."""

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

from pytest_gaia.clients.network import connecting
from pytest_gaia.clients.wire import broker_address, proxy_for, trusted
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import Service
from pytest_gaia.observation.http_probe import probe_http, question
from pytest_gaia.observation.probes import (
    ProbeResult,
    check_certificates,
    probe_amqp,
    probe_nats,
    probe_postgres,
    probe_redis,
    probe_tcp,
)
from pytest_gaia.secrets.masks import mask_url

T = TypeVar("T")
Ask: TypeAlias = Callable[[float], ProbeResult]

VIA, DISABLED, ABSENT = "via ", "disabled", "not configured"
"""states of services without an address; ``VIA`` is followed by the service through which it is reached"""

LOOK = 0.2
"""seconds between checks for signals and cancellation"""
SLOW_START = 2.0
"""seconds; a slower first response means that the machine was suspended"""
_PROBES: Mapping[str, Callable[[str, float], ProbeResult]] = {
    "postgres": probe_postgres,
    "nats": probe_nats,
    "redis": probe_redis,
    "amqp": probe_amqp,
    "tcp": probe_tcp,
}
_QUESTIONS = {
    "postgres": "connection to PostgreSQL",
    "nats": "PING to NATS",
    "redis": "PING to Redis",
    "amqp": "AMQP 0-9-1 header",
    "tcp": "connection",
}


@dataclass(frozen=True, slots=True)
class Target:
    """One service of an environment."""

    service: str
    endpoint: str
    """its address, with masked passwords; or its state if it cannot be probed"""
    ask: Ask | None = None
    """probe it once within a number of seconds; raises ``ProbeError``"""


def targets(environment: Environment) -> Iterator[Target]:
    """Yield every service that ``environment`` has or is expected to have, in the order of declaration.

    Raises ``ConfigError`` for an invalid variable of this machine (proxy, certificates) or a missing package, which
    would prevent every connection to a service.
    """
    for name, service in environment.platform.services.items():
        if name in environment.disabled:
            yield Target(name, DISABLED)
        elif url := environment.url_of(name):
            yield _target(environment, service, url)
        elif name in environment.services:
            is_forwarded = service.via is not None and environment.has(service.via)
            yield Target(name, f"{VIA}{service.via}" if is_forwarded else ABSENT)


def _target(environment: Environment, service: Service, url: str) -> Target:
    wait = environment.timeouts_of(service.name).connect
    if service.kind == "http":
        proxy_for(url)
        trusted(url)
        probe = partial(probe_http, url, path=service.health, healthy=service.healthy)
        return Target(service.name, url, _within(max(wait, SLOW_START), probe))
    if service.kind == "nats":
        source = environment.sources.get(f"urls.{service.name}", f"urls.{service.name}")
        trusted(broker_address(url, source).server)
    check_certificates(url)
    return Target(service.name, mask_url(url), _within(wait, partial(_PROBES[service.kind], url)))


def question_of(service: Service, endpoint: str) -> str:
    """Return the request of a service's probe, such as ``GET /ready``; ``endpoint`` is its address."""
    return _QUESTIONS.get(service.kind) or question(f"{endpoint}{service.health}")


def _within(longest: float, probe: Ask) -> Ask:
    return lambda left: probe(min(left, longest))


def in_background(ask: Callable[[], T], name: str) -> Future[T]:
    """Call ``ask`` in a thread of its own, for which the process does not wait at its end; return its future result."""
    found: Future[T] = Future()

    def run() -> None:
        try:
            result = ask()
        # Raised again on the thread of the caller.
        except BaseException as problem:  # noqa: BLE001
            found.set_exception(problem)
        else:
            found.set_result(result)

    threading.Thread(target=run, daemon=True, name=f"gaia-{name}").start()
    return found


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
            # The network guard permits these connections.
            with connecting(name):
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
            name, result = results.get(timeout=max(0.0, min(LOOK, left)))
        except queue.Empty:
            if left <= 0:
                break
            waiting(tuple(each for each in asks if each not in found))
            continue
        if isinstance(result, BaseException):
            raise result
        found[name] = result
    return found
