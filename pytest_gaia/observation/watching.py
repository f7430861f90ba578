"""Observe the capabilities of the platform before the first test, and its changes after the last one."""

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import Service
from pytest_gaia.expectations.subjects import Observed
from pytest_gaia.observation.documents import Snapshot, document_of, late, published
from pytest_gaia.observation.http_probe import opener
from pytest_gaia.observation.readiness import READY, STARTED, Demand, Probes, ServiceState, probe_services
from pytest_gaia.observation.targets import ABSENT, LOOK, in_background, run_all

_LONGEST = 64 * 1024
"""bytes of a response that are read"""
_TEXTS = ("detail", "message", "error")
"""keys of an error response that can hold its text"""
_WELL = (READY, STARTED)
_FRESH = 30.0
"""seconds for which the state during collection counts"""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The state of an environment before the first test."""

    states: tuple[ServiceState, ...]
    observed: Observed | None = None
    """None if that was not asked yet"""
    documents: Snapshot = field(default_factory=dict)


def look(
    environment: Environment,
    states: tuple[ServiceState, ...],
    waiting: Callable[[tuple[str, ...]], None] = lambda _: None,
) -> Beginning:
    """Observe which services respond, and fetch all OpenAPI documents, at the same time.

    A service is requested like the tests do: through the service that forwards requests to it. If the response to such a
    request is inconclusive, the service's own response at its own URL decides. Without one, it is unknown whether the
    service responds.
    """
    asked = {state.service for state in states if state.asked}
    seen = {state.service for state in states if state.asked and state.reachable}
    silent = {state.service for state in states if state.is_forwarded or state.state == ABSENT}
    services = environment.platform.services
    forwarded = {
        name: f"{name} behind {service.via}"
        for name, service in services.items()
        if service.via in seen and name not in environment.disabled
    }
    documented = [name for name in published(environment) if name in seen]
    asks: dict[str, Callable[[], Any]] = {
        **{label: partial(_responds, environment, services[name]) for name, label in forwarded.items()},
        **{name: partial(document_of, environment, name) for name in documented},
    }
    found = run_all(asks, deadline=environment.timeouts.ready, waiting=waiting)
    up = {name for name, label in forwarded.items() if found.get(label)}
    down = {name for name, label in forwarded.items() if found.get(label) is False}
    unknown = (silent | forwarded.keys()) - asked - up - down
    return Beginning(
        states,
        Observed(frozenset((seen - down) | up), frozenset(unknown)),
        {name: found.get(name) or late(name) for name in documented},
    )


class Early:
    """Observes an environment in a thread while the tests are collected, so that a run need not wait for the network.

    Raises ``ConfigError`` as :func:`probe_services` does.
    """

    def __init__(self, environment: Environment, demand: Demand, stopped: tuple[str, ...]) -> None:
        self._environment = environment
        self._probes = Probes(environment, deadline=environment.timeouts.ready, demand=demand, stopped=stopped)
        self._ended = math.inf
        self._found = in_background(self._look, "early")

    def _look(self) -> Beginning:
        states = self._probes.states()
        beginning = look(self._environment, states) if self._are_ready(states) else Beginning(states)
        self._ended = time.monotonic()
        return beginning

    def beginning(
        self, waiting: Callable[[tuple[str, ...]], None], patience: float, given_up: Iterable[str] = ()
    ) -> Beginning | None:
        """Return the state now, after collection; None if the services must be probed again.

        Services that are still not ready have ``patience`` seconds, except those that are ``given_up``.
        """
        self._probes.given_up = frozenset(given_up)
        if self._found.done():
            found = self._found.result()
            is_fresh = time.monotonic() - self._ended < _FRESH
            return found if is_fresh and self._are_ready(found.states) else None
        self._probes.until = time.monotonic() + patience
        while True:
            try:
                found = self._found.result(LOOK)
            except TimeoutError:
                waiting(self._probes.pending)
            else:
                # A refused connection ends the probes at once, although the service may have started meanwhile.
                return found if self._are_ready(found.states) or time.monotonic() >= self._probes.until else None

    def stop(self) -> None:
        """End the probes."""
        self._probes.over.set()

    def _are_ready(self, states: Sequence[ServiceState]) -> bool:
        required = self._environment.required
        return all(state.reachable and state.settled for state in states if state.asked and state.service in required)


def _responds(environment: Environment, service: Service) -> bool | None:
    """Return whether a service responds to its ``probe``; None if nothing was sent or the response is inconclusive."""
    via, probe = service.via, service.probe
    if via is None or probe is None or not environment.platform[via].allows(probe.method, probe.path):
        return None
    url = environment.urls[via]
    headers = {"Content-Type": "application/json"} | {
        name: secret.reveal() for name, secret in environment.credentials_of(via).items()
    }
    data = b"{}" if probe.method in ("POST", "PUT", "PATCH") else None
    request = Request(f"{url}{probe.path}", data, headers, method=probe.method)  # noqa: S310 - an http URL, checked when it was resolved
    try:
        with opener(url, _NoRedirect()).open(request, timeout=environment.timeouts_of(via).connect) as response:
            status, body = response.status, response.read(_LONGEST)
    except HTTPError as error:
        with error:
            status, body = error.code, error.read(_LONGEST)
    except (OSError, HTTPException):
        return None
    return _shown(service.name, environment.platform[via].error_prefix, status, body)


def _shown(service: str, prefix: str, status: int, body: bytes) -> bool | None:
    """Return what a forwarded request shows about ``service``; only content of the service proves that it runs.

    That is an object with status 200, or an error whose ``detail`` begins with ``prefix``. Errors of the forwarding service
    (unknown route, not authenticated) and responses of proxies prove nothing, except the error that names the service as
    unavailable.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    texts = [text for text in map(content.get, _TEXTS) if isinstance(text, str)]
    unavailable = rf"(service )?{re.escape(service)}( service)?( is)? unavailable\.?"
    if status == 503 and any(re.fullmatch(unavailable, text, re.IGNORECASE) for text in texts):
        return False
    is_relayed = prefix and any(text.startswith(prefix) for text in texts)
    return True if is_relayed or status == 200 else None


class _NoRedirect(HTTPRedirectHandler):
    """Follows no redirect, because the request contains a key."""

    def redirect_request(self, *_: object) -> None:
        """Return the redirect itself."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Changes between the first test and the end of the run, one sentence each."""

    gone: tuple[str, ...] = ()
    """required services that no longer respond, which may be the cause of failures"""
    changed: tuple[str, ...] = ()
    """another version, or a required service that is no longer healthy: the results are not those of one version"""
    noted: tuple[str, ...] = ()
    """other services that no longer respond"""


def observe_again(
    environment: Environment,
    before: Sequence[ServiceState],
    *,
    deadline: float,
    waiting: Callable[[tuple[str, ...]], None] = lambda _: None,
) -> Ending:
    """Probe the services that responded ``before`` again, and return what has changed.

    A service that was healthy has ``deadline`` seconds to be healthy again, because its machine may have been suspended.
    """
    met = {state.service: state for state in before if state.asked and state.reachable and not state.late}
    left_out = tuple(state.service for state in before if state.service not in met)
    was_well = frozenset(service for service, state in met.items() if state.state in _WELL)
    demand = Demand(healthy=was_well & set(environment.required))
    now = probe_services(environment, deadline=deadline, demand=demand, stopped=left_out, waiting=waiting)
    pairs = [(met[state.service], state) for state in now if state.service in met]
    silent = [(state.service, _gone(state)) for _, state in pairs if not state.reachable]
    return Ending(
        gone=tuple(sentence for service, sentence in silent if service in environment.required),
        changed=tuple(sentence for then, state in pairs for sentence in _changes(environment, then, state)),
        noted=tuple(sentence for service, sentence in silent if service not in environment.required),
    )


def _gone(state: ServiceState) -> str:
    return f"{state.service} responded before the first test and no longer does: {state.detail}"


def _changes(environment: Environment, then: ServiceState, now: ServiceState) -> Iterator[str]:
    if not now.reachable:
        return
    worse = not now.settled if then.state in _WELL else now.state not in (*_WELL, then.state)
    if now.service in environment.required and worse:
        yield f"{now.service} was {then.state} before the first test and is {now.state} at the end: {now.detail}"
    if now.version != then.version:
        yield f"{now.service} is version {now.version or 'unknown'} at the end, it was {then.version or 'unknown'}"
