"""What the platform can do before the first test, and whether it is the same platform after the last one."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request

from pytest_gaia.config.environment import Environment, safe_post
from pytest_gaia.expectations.subjects import Observed
from pytest_gaia.observation.asking import VIA_GATEWAY, ask_all
from pytest_gaia.observation.probes import opener
from pytest_gaia.observation.readiness import READY, WOKE, Demand, ServiceState, probe_services

_LONGEST = 64 * 1024
"""bytes of an answer that are read"""
_WELL = (READY, WOKE)


@dataclass(frozen=True, slots=True)
class Question:
    """A request that changes nothing and that the gateway passes on to one service."""

    service: str
    method: str
    path: str
    body: object = None


QUESTIONS = (
    Question("auth", "POST", "/api/v1/auth/validate", {}),
    # The only one for which the gateway wants a key before it asks the service.
    Question("asset", "GET", "/api/v1/assets/00000000-0000-4000-8000-000000000000"),
    Question("chat", "GET", "/api/v0.2/health"),
)


def observe(environment: Environment, states: Sequence[ServiceState]) -> Observed:
    """Return which members answer, as the checks will ask them: a service through the gateway, where there is one.

    A service of which the gateway's answer shows nothing is judged by what it answered itself, at a URL of its own.
    """
    seen = {state.service for state in states if state.asked and state.reachable}
    asked = {state.service for state in states if state.asked}
    if "gateway" not in seen:
        unreached = {state.service for state in states if state.state == VIA_GATEWAY}
        return Observed(frozenset(seen), frozenset(unreached))
    answered = ask_all({question.service: partial(_answers, environment, question) for question in QUESTIONS})
    up = {service for service, responds in answered.items() if responds}
    down = {service for service, responds in answered.items() if responds is False}
    return Observed(frozenset((seen - down) | up), frozenset(answered.keys() - asked - up - down))


def _answers(environment: Environment, question: Question) -> bool | None:
    """Return whether the service answers; None where the gateway's answer does not show it."""
    if question.method == "POST" and ("gateway", question.path) not in map(safe_post, environment.safe_posts):
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
    """Return what an answer of the gateway shows of ``service``: only what came from the service proves that it is there.

    The gateway wraps an error of a service as ``Service error: …``. Its own errors (no such route, not authenticated, any
    of its own making) and whatever stands in front of it prove nothing, except that it names a service that is down.
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
    """Follows no redirect: the next address may be anybody's, and the request carries a key."""

    def redirect_request(self, *_: object) -> None:
        """Have the answer itself returned."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What was another at the end than before the first test, one sentence each."""

    gone: tuple[str, ...] = ()
    """required members that no longer answer: what failed may have failed for want of them"""
    changed: tuple[str, ...] = ()
    """another release, or a required member that was well and is not: evidence of two things, and of neither"""
    noted: tuple[str, ...] = ()
    """members that are not required and no longer answer"""


def look_again(
    environment: Environment,
    before: Sequence[ServiceState],
    *,
    deadline: float,
    waiting: Callable[[tuple[str, ...]], None] = lambda _: None,
) -> Ending:
    """Ask the members that answered ``before`` once more, and say what has become of them.

    A member that was well has until ``deadline`` (seconds) to be so again: machines may have gone to sleep meanwhile.
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
    return f"{state.service} answered before the first test and no longer does: {state.detail}"


def _changes(environment: Environment, then: ServiceState, now: ServiceState) -> Iterator[str]:
    if not now.reachable:
        return
    worse = not now.settled if then.state in _WELL else now.state not in (*_WELL, then.state)
    if now.service in environment.required and worse:
        yield f"{now.service} was {then.state} before the first test and is {now.state} at the end: {now.detail}"
    if now.version != then.version:
        yield f"{now.service} is version {now.version or 'unknown'} at the end, it was {then.version or 'unknown'}"
