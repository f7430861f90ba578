"""Writes are blocked by default: which are permitted, and the messages of blocked ones."""

from __future__ import annotations

import pytest

from pytest_gaia.clients.guard import WriteGuard, reads_only, shorten
from pytest_gaia.errors import WriteRefused
from tests.clients.conftest import environment


def guard(*, allowed: bool, marked: bool, name: str = "production") -> WriteGuard:
    made = WriteGuard(environment(name, writes=allowed, safe_posts=("/api/v0.2/chat",)))
    made.permit(marked)
    return made


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "post", "PROPFIND"])
@pytest.mark.parametrize(("allowed", "marked"), [(False, False), (False, True), (True, False)])
def test_a_write_takes_the_marker_and_the_environment(method: str, allowed: bool, marked: bool) -> None:
    with pytest.raises(WriteRefused):
        guard(allowed=allowed, marked=marked).check_http("gateway", method, "/x")
    guard(allowed=True, marked=True).check_http("gateway", method, "/x")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "get"])
def test_a_safe_method_always_goes(method: str) -> None:
    guard(allowed=False, marked=False).check_http("gateway", method, "/x")


def test_a_listed_post_goes_and_nothing_beside_it() -> None:
    closed = guard(allowed=False, marked=False)
    closed.check_http("gateway", "POST", "/api/v0.2/chat")
    for method, path in (
        ("DELETE", "/api/v0.2/chat"),
        ("POST", "/api/v0.2/chat/"),
        ("POST", "/api/v0.2/chat/../personas"),
        ("POST", "/API/v0.2/chat"),
        ("POST", "/api/v0.2/chat/history"),
    ):
        with pytest.raises(WriteRefused):
            closed.check_http("gateway", method, path)


SAFE = ("/api/v0.2/chat", "gateway:/search", "auth:/auth/validate")


@pytest.mark.parametrize(
    ("service", "path"), [("gateway", "/api/v0.2/chat"), ("gateway", "/search"), ("auth", "/auth/validate")]
)
def test_a_post_is_safe_for_the_service_that_it_is_listed_for_and_for_no_other(service: str, path: str) -> None:
    closed = WriteGuard(environment("production", writes=False, safe_posts=SAFE))

    closed.check_http(service, "POST", path)
    for other in {"gateway", "auth", "asset", "chat", "orders"} - {service}:
        with pytest.raises(WriteRefused) as caught:
            closed.check_http(other, "POST", path)
        assert f"POST {path} to {other}." in str(caught.value)


def test_the_refusal_names_the_posts_that_are_safe_for_that_service() -> None:
    closed = WriteGuard(environment("production", writes=False, safe_posts=SAFE))

    for service, listed in (("gateway", "/api/v0.2/chat, /search"), ("auth", "/auth/validate"), ("asset", "none")):
        with pytest.raises(WriteRefused, match=f"Safe POSTs to {service} here: {listed}\\."):
            closed.check_http(service, "POST", "/x")


def test_the_refusal_where_writing_is_forbidden_names_the_environment_and_what_was_stopped() -> None:
    with pytest.raises(WriteRefused) as caught:
        guard(allowed=False, marked=True).check_http("chat", "DELETE", "/api/v0.2/personas/7")
    message = str(caught.value)
    assert message.startswith("write blocked, nothing was sent: DELETE /api/v0.2/personas/7 to chat.")
    assert (
        "environment production forbids writes (writes = false), not even with @pytest.mark.gaia(writes=True)"
        in message
    )
    assert "Safe POSTs to chat here: none." in message


def test_the_refusal_without_the_marker_names_the_marker() -> None:
    with pytest.raises(WriteRefused) as caught:
        guard(allowed=True, marked=False, name="dev").check_http("chat", "PUT", "/x")
    assert "the test is not marked as one that writes" in str(caught.value)
    assert "Mark the test with @pytest.mark.gaia(writes=True)" in str(caught.value)


def test_the_permission_ends_with_the_test() -> None:
    shared = guard(allowed=True, marked=True)
    shared.check_http("gateway", "DELETE", "/x")
    shared.permit(False)
    with pytest.raises(WriteRefused):
        shared.check_http("gateway", "DELETE", "/x")


def test_publishing_below_gaia_test_always_goes() -> None:
    guard(allowed=False, marked=False).check_publish("gaia.test.anything.at.all")


@pytest.mark.parametrize(
    "subject",
    ["gaia.test", "gaia.test.", "gaia.tests.x", "gaia.service.ready", "GAIA.TEST.x", ">", "$JS.API.STREAM.CREATE.X"],
)
def test_publishing_elsewhere_is_a_write(subject: str) -> None:
    with pytest.raises(WriteRefused, match=r"a message on .*[\s\S]*gaia\.test\.>"):
        guard(allowed=True, marked=False).check_publish(subject)
    guard(allowed=True, marked=True).check_publish(subject)


@pytest.mark.parametrize(
    "statement",
    ["SELECT 1", "  -- hi\n/* there */ (select 1)", "with x as (select 1) table x", "VALUES (1)", "show all"],
)
def test_a_statement_that_reads_is_recognised(statement: str) -> None:
    assert reads_only(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO x VALUES (1)",
        "",
        ";",
        "-- SELECT 1",
        "/* SELECT */ DROP TABLE x",
        "SET x = 1",
        "COPY x TO '/x'",
        "DO $$ $$",
    ],
)
def test_a_statement_that_does_not_start_like_one_that_reads_is_none(statement: str) -> None:
    assert not reads_only(statement)


def test_the_refusal_of_sql_reports_who_refused_it() -> None:
    closed = guard(allowed=True, marked=False)
    assert str(closed.refuse_sql("DROP TABLE x")).startswith("write blocked, nothing was sent: SQL (DROP TABLE x).")
    assert str(closed.refuse_sql("SELECT f()", by="the database")).startswith(
        "write refused by the database: SQL (SELECT f())."
    )


def test_a_long_statement_is_shortened_in_the_message() -> None:
    assert shorten("INSERT\n   INTO x " + "y" * 200) == "INSERT INTO x " + "y" * 105 + "…"
