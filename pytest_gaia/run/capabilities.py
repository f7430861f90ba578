"""What the platform can do, as observed: which members answer, asked the way the checks will ask them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request

from pytest_gaia.run.probes import opener
from pytest_gaia.run.readiness import NOT_ASKED, UNREACHABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gaia.config.environment import Environment
    from pytest_gaia.run.readiness import MemberState

_NO_PROOF = (401, 403, 502, 503, 504)
"""statuses that come from the gateway, or from something before it, and not from the service that was asked"""


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


def observe(environment: Environment, states: Sequence[MemberState]) -> frozenset[str]:
    """Return the members that answer. A service counts if it answers through the gateway, where there is one."""
    absent = (*NOT_ASKED, UNREACHABLE)
    seen = {state.member for state in states if state.state not in absent}
    if "gateway" not in seen:
        return frozenset(seen)
    services = {question.service for question in QUESTIONS}
    with ThreadPoolExecutor(len(QUESTIONS)) as pool:
        answers = pool.map(lambda question: _answers(environment, question), QUESTIONS)
    through_gateway = {question.service for question, up in zip(QUESTIONS, answers, strict=True) if up}
    return frozenset((seen - services) | through_gateway)


def _answers(environment: Environment, question: Question) -> bool:
    url = environment.urls["gateway"]
    headers = {"Content-Type": "application/json"} | {
        name: secret.reveal() for name, secret in environment.identity.items()
    }
    data = None if question.body is None else json.dumps(question.body).encode()
    request = Request(f"{url}{question.path}", data, headers, method=question.method)  # noqa: S310 - an http URL, checked when it was resolved
    try:
        with opener(url).open(request, timeout=environment.timeouts.connect) as response:
            return bool(response.status not in _NO_PROOF)
    except HTTPError as error:
        error.close()
        return error.code not in _NO_PROOF
    except (OSError, HTTPException):
        return False
