"""Observe the capabilities of the platform before the first test, and its changes after the last one."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request

from pytest_gaia.config.environment import Environment
from pytest_gaia.expectations.subjects import Observed
from pytest_gaia.observation.http_probe import opener
from pytest_gaia.observation.readiness import READY, STARTED, Demand, ServiceState, probe_services
from pytest_gaia.observation.targets import VIA_GATEWAY, run_all

_LONGEST = 64 * 1024
"""bytes of a response that are read"""
_WELL = (READY, STARTED)


@dataclass(frozen=True, slots=True)
class Question:
    """A request without side effects that the gateway forwards to one service."""

    service: str
    method: str
    path: str
    body: object = None


QUESTIONS = (
    Question("auth", "POST", "/api/v1/auth/validate", {}),
    # The only one that needs an API key before the gateway forwards it.
    Question("asset", "GET", "/api/v1/assets/00000000-0000-4000-8000-000000000000"),
    Question("chat", "GET", "/api/v0.2/health"),
)


def observe(environment: Environment, states: Sequence[ServiceState]) -> Observed:
    """Return the services that respond, requested like the tests do: through the gateway if there is one.

    If the gateway's response is inconclusive, the service's own response at its own URL decides.
    """
    seen = {state.service for state in states if state.asked and state.reachable}
    asked = {state.service for state in states if state.asked}
    if "gateway" not in seen:
        unreached = {state.service for state in states if state.state == VIA_GATEWAY}
        return Observed(frozenset(seen), frozenset(unreached))
    answered = run_all({question.service: partial(_responds, environment, question) for question in QUESTIONS})
    up = {service for service, responds in answered.items() if responds}
    down = {service for service, responds in answered.items() if responds is False}
    return Observed(frozenset((seen - down) | up), frozenset(answered.keys() - asked - up - down))


def _responds(environment: Environment, question: Question) -> bool | None:
    """Return whether the service responds; None if the gateway's response is inconclusive."""
    if not environment.platform["gateway"].allows(question.method, question.path):
        return None
    url = environment.urls["gateway"]
    headers = {"Content-Type": "application/json"} | {
        name: secret.reveal() for name, secret in environment.identity.items()
    }
    data = None if question.body is None else json.dumps(question.body).encode()
    request = Request(f"{url}{question.path}", data, headers, method=question.method)  # noqa: S310 - an http URL, checked when it was resolved
    try:
        with opener(url, _NoRedirect()).open(request, timeout=environment.timeouts.connect) as response:
            return _shown(question.service, response.status, response.read(_LONGEST))
    except HTTPError as error:
        with error:
            return _shown(question.service, error.code, error.read(_LONGEST))
    except (OSError, HTTPException):
        return None


def _shown(service: str, status: int, body: bytes) -> bool | None:
    """Return what a response of the gateway shows about ``service``; only content of the service proves that it runs.

    The gateway wraps an error of a service as ``Service error: …``. Its own errors (unknown route, not authenticated)
    and responses of proxies prove nothing, except the error that names a service as unavailable.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    detail = content.get("detail") if isinstance(content, dict) else None
    if status == 503 and detail == f"Service {service} unavailable":
        return False
    if isinstance(detail, str) and detail.startswith("Service error: "):
        return True
    return True if status == 200 and isinstance(content, dict) else None


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
    met = {state.service: state for state in before if state.asked and state.reachable}
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
