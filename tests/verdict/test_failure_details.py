"""From an exception to its kind, and to what it knows of the wire."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg
import httpx
import nats.errors
import nats.js.errors
import pytest
from msgspec.structs import replace as replaced

from pytest_gaia.clients.exchanges import Exchange, ReceivedResponse, SentRequest
from pytest_gaia.errors import DeadlineExceeded, ServiceError, UnexpectedResponse, Unreachable, WriteRefused
from pytest_gaia.secrets.redaction import Redactor
from pytest_gaia.verdict.evidence import Failure
from pytest_gaia.verdict.gathering import MESSAGE_LIMIT, failure_of

if TYPE_CHECKING:
    from collections.abc import Callable

EXCHANGE = Exchange(
    service="chat",
    via="gateway",
    route="/api/v1/chat/{conversation_id}",
    request=SentRequest("POST", "https://gateway/api/v1/chat/7", {}),
    response=ReceivedResponse(503, {}, "{}"),
    error=None,
    started=0.0,
    elapsed=0.25,
)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AssertionError("x"), "assertion"),
        (pytest.fail.Exception("x"), "error"),
        (pytest.fail.Exception("Timeout (>1.0s) from pytest-timeout."), "timeout"),
        (pytest.fail.Exception("Timeout >0.5s"), "timeout"),
        (pytest.fail.Exception("Timeout (>1.0s) from pytest-timeout. And more"), "error"),
        (ValueError("Timeout (>1.0s) from pytest-timeout."), "error"),
        (UnexpectedResponse("x", EXCHANGE), "http"),
        (DeadlineExceeded("x"), "timeout"),
        (TimeoutError(), "timeout"),
        (nats.errors.TimeoutError(), "timeout"),
        (Unreachable("x"), "unreachable"),
        (ConnectionRefusedError(111, "refused"), "unreachable"),
        (BrokenPipeError(), "unreachable"),
        (ServiceError("x"), "error"),
        (WriteRefused("x"), "error"),
        (ValueError("x"), "error"),
        (SystemExit(0), "error"),
        (httpx.ReadError("x"), "error"),
        (asyncpg.UndefinedTableError("x"), "error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
def test_every_exception_has_a_kind(error: BaseException, kind: str) -> None:
    found = failure_of(error)

    assert (found.kind, found.exception) == (kind, type(error).__name__)


def test_an_unexpected_response_tells_what_went_over_the_wire() -> None:
    found = failure_of(UnexpectedResponse("chat returned 503", EXCHANGE))

    assert (found.status, found.service, found.via, found.method) == (503, "chat", "gateway", "POST")
    assert found.route == "/api/v1/chat/{conversation_id}"
    assert found.message == "chat returned 503"


def answered(status: int, route: str = "/x") -> UnexpectedResponse:
    response = ReceivedResponse(status, {}, "{}")
    return UnexpectedResponse(f"returned {status}", replace(EXCHANGE, response=response, route=route))


def group(*errors: BaseException) -> BaseException:
    """Return a group as a TaskGroup makes it, one level deeper than needed."""
    return BaseExceptionGroup("unhandled errors in a TaskGroup", [BaseExceptionGroup("inner", errors)])


GROUPS = {
    "one": (group(answered(404)), failure_of(answered(404))),
    "all alike": (group(answered(404), group(answered(404))), failure_of(answered(404))),
    "other routes": (
        group(answered(404), answered(404, "/y")),
        replaced(failure_of(answered(404)), route=None),
    ),
    "another status": (
        group(answered(404), answered(500)),
        replaced(failure_of(answered(404)), status=None, message="unhandled errors in a TaskGroup (1 sub-exception)"),
    ),
    "another failure next to it": (
        group(answered(404), AssertionError("x")),
        Failure("error", "ExceptionGroup", "unhandled errors in a TaskGroup (1 sub-exception)"),
    ),
    "timeouts of two classes": (
        group(TimeoutError("x"), DeadlineExceeded("x")),
        Failure("timeout", "ExceptionGroup", "x"),
    ),
    "one error of SQL": (
        group(asyncpg.UniqueViolationError("x"), asyncpg.UndefinedTableError("x")),
        Failure("error", "ExceptionGroup", "x"),
    ),
}


@pytest.mark.parametrize(("error", "failure"), GROUPS.values(), ids=GROUPS)
def test_a_group_is_what_all_in_it_have_in_common(error: BaseException, failure: Failure) -> None:
    error.__cause__ = asyncpg.UniqueViolationError("of the group itself")

    assert failure_of(error) == failure


def test_a_group_of_any_depth_is_read() -> None:
    error: BaseException = answered(404)
    for _ in range(5000):
        error = BaseExceptionGroup("x", [error])

    assert failure_of(error) == failure_of(answered(404))


def test_an_exchange_without_a_response_has_no_status() -> None:
    silent = Exchange("chat", "direct", "/", SentRequest("GET", "/", {}), None, "unreachable: reset", 0.0, 0.1)

    assert failure_of(UnexpectedResponse("x", silent)).status is None


def raised(make: Callable[[], None]) -> BaseException:
    try:
        make()
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what is asked for
        return error
    raise AssertionError("nothing was raised")


def from_a_cause() -> None:
    try:
        raise asyncpg.InsufficientPrivilegeError("permission denied for table users")
    except asyncpg.PostgresError as error:
        raise ServiceError("the statement failed") from error


def from_a_context() -> None:
    try:
        raise nats.errors.NoRespondersError
    except nats.errors.Error:
        raise DeadlineExceeded("no response on gaia.test")  # noqa: B904 - the context is what is tested


def hiding_its_context() -> None:
    try:
        raise asyncpg.UniqueViolationError("twice")
    except asyncpg.PostgresError:
        raise AssertionError("of its own") from None


@pytest.mark.parametrize(
    ("make", "sqlstate", "reason"),
    [(from_a_cause, "42501", None), (from_a_context, None, "NoRespondersError"), (hiding_its_context, None, None)],
)
def test_the_reason_is_found_down_the_chain(make: Callable[[], None], sqlstate: str | None, reason: str | None) -> None:
    found = failure_of(raised(make))

    assert (found.sqlstate, found.reason) == (sqlstate, reason)


@pytest.mark.parametrize(
    ("error", "sqlstate"),
    [
        (asyncpg.UndefinedTableError("x"), "42P01"),
        (asyncpg.QueryCanceledError("x"), "57014"),
        (asyncpg.ReadOnlySQLTransactionError("x"), "25006"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_sqlstate_is_that_of_the_server(error: BaseException, sqlstate: str) -> None:
    assert failure_of(error).sqlstate == sqlstate


def test_the_reason_of_the_stream_is_told() -> None:
    assert failure_of(nats.js.errors.NotFoundError(code=404)).reason == "NotFoundError"


def test_a_chain_that_bites_its_tail_has_an_end() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one

    assert failure_of(one).sqlstate is None


def test_secrets_are_masked_before_the_message_is_cut() -> None:
    secret = "sk-live-0123456789"
    text = "x" * (MESSAGE_LIMIT - 8) + secret

    found = failure_of(AssertionError(text), Redactor([secret]).text)

    assert len(found.message) <= MESSAGE_LIMIT
    assert secret[:8] not in found.message
