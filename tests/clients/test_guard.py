"""Writes are blocked by default: which are permitted, and the messages of blocked ones."""

from __future__ import annotations

import pytest

from pytest_gaia.clients.guard import WriteGuard, reads_only, shorten
from pytest_gaia.config.platform import Operation, Platform, Service
from pytest_gaia.errors import WriteRefused
from tests.clients.conftest import environment


def guard(*, allowed: bool, marked: bool, name: str = "production") -> WriteGuard:
    return WriteGuard(environment(name, writes=allowed), lambda: marked)


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


@pytest.mark.parametrize(
    ("service", "path"), [("gateway", "/calculator/add"), ("auth", "/auth/validate"), ("chat", "/api/v0.2/chat")]
)
def test_a_post_is_safe_for_the_service_that_lists_it_and_for_no_other(service: str, path: str) -> None:
    closed = guard(allowed=False, marked=False)

    closed.check_http(service, "POST", path)
    for other in {"gateway", "auth", "asset", "chat", "nats", "unknown"} - {service}:
        if f"POST {path}" in map(str, closed._environment.platform.services.get(other, Service("")).safe):
            continue
        with pytest.raises(WriteRefused) as caught:
            closed.check_http(other, "POST", path)
        assert f"POST {path} to {other}." in str(caught.value)


def test_the_refusal_names_the_requests_that_are_safe_for_that_service() -> None:
    for service, listed in (
        ("auth", "POST /auth/validate, POST /internal/validate"),
        ("asset", "none"),
        ("unknown", "none"),
    ):
        with pytest.raises(WriteRefused, match=f"Safe requests to {service}: {listed}\\."):
            guard(allowed=False, marked=False).check_http(service, "POST", "/x")


def shop_guard(*, marked: bool = False) -> WriteGuard:
    """Return the guard of a project that describes its own services."""
    shop = Platform(
        {
            "orders": Service(
                "orders",
                safe=(Operation.of("POST /quotes/{id}"),),
                unsafe=(Operation.of("GET /orders/{id}/confirm"),),
            ),
            "cache": Service("cache", kind="redis"),
        }
    )
    where = environment("live", platform=shop, services=shop.names, required=(), writes=True)
    return WriteGuard(where, lambda: marked)


@pytest.mark.parametrize(
    "path",
    [
        "/orders/7/confirm",
        "/orders/7/confirm/",
        "/orders/7/%63onfirm",
        "/orders//7/confirm",
        "/x/../orders/7/confirm",
        "/orders/7/Confirm",
        "/orders/7/confirm;a=b",
        "/orders/7/confirm%20",
        "/orders/7/confirm%00",
        "/orders/7\\confirm",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "get"])
def test_a_get_that_changes_something_is_a_write_however_it_is_spelled(method: str, path: str) -> None:
    with pytest.raises(WriteRefused, match=r"to orders\.[\s\S]*`unsafe` of \[services\.orders\] lists it"):
        shop_guard().check_http("orders", method, path)
    shop_guard(marked=True).check_http("orders", method, path)
    shop_guard().check_http("orders", method, "/orders/7")


@pytest.mark.parametrize(
    "path",
    [
        *("/quotes/..", "/quotes/%2e%2e", "/quotes/a%2Fb", "/quotes/7/", "/quotes//7", "/quotes"),
        *("/quotes/%252e%252e", "/quotes/a%5c..", "/quotes/a\\..", "/quotes/a;b", "/quotes/a%3Fb"),
    ],
)
def test_a_path_that_a_server_may_read_in_another_way_is_not_safe(path: str) -> None:
    shop_guard().check_http("orders", "POST", "/quotes/a%20b")
    with pytest.raises(WriteRefused):
        shop_guard().check_http("orders", "POST", path)


def test_a_get_with_a_body_is_a_write_unless_the_service_lists_it_as_safe() -> None:
    shop = Platform({"orders": Service("orders", safe=(Operation.of("GET /search/{index}"),))})
    where = environment("live", platform=shop, services=shop.names, required=(), writes=False)
    closed = WriteGuard(where)

    closed.check_http("orders", "GET", "/search/7", body=b"{}")
    with pytest.raises(WriteRefused, match=r'add "GET /other" to `safe` of \[services\.orders\]\.'):
        closed.check_http("orders", "GET", "/other", body=b"{}")


def test_no_safe_path_of_gaia_is_safe_for_another_project() -> None:
    for path in ("/auth/validate", "/api/v1/auth/validate", "/calculator/add", "/api/v0.2/chat"):
        with pytest.raises(WriteRefused):
            shop_guard().check_http("orders", "POST", path)


def test_a_redis_command_reads_only_if_it_is_known_to() -> None:
    for command in (("GET",), ("OBJECT", "encoding"), ("XINFO", "STREAM"), ("HGETALL", "x")):
        shop_guard().check_redis("cache", command)
    for command in (
        ("SET",),
        ("GETDEL",),
        ("EVAL",),
        ("EVAL_RO",),
        ("SCRIPT", "LOAD"),
        ("OBJECT",),
        ("CONFIG", "GET"),
        ("NEWER",),
    ):
        with pytest.raises(WriteRefused, match=rf"{command[0]} to cache\.[\s\S]*not known to only read"):
            shop_guard().check_redis("cache", command)
        shop_guard(marked=True).check_redis("cache", command)


def test_the_refusal_where_writing_is_forbidden_names_the_environment_and_what_was_stopped() -> None:
    with pytest.raises(WriteRefused) as caught:
        guard(allowed=False, marked=True).check_http("chat", "DELETE", "/api/v0.2/personas/7")
    message = str(caught.value)
    assert message.startswith("write blocked, nothing was sent: DELETE /api/v0.2/personas/7 to chat.")
    assert (
        "environment production forbids writes (writes = false), not even with @pytest.mark.gaia(writes=True)"
        in message
    )
    assert "Safe requests to chat: POST /api/v0.2/chat, " in message


def test_the_refusal_without_the_marker_names_the_marker() -> None:
    with pytest.raises(WriteRefused) as caught:
        guard(allowed=True, marked=False, name="dev").check_http("chat", "PUT", "/x")
    assert "the test is not marked as one that writes" in str(caught.value)
    assert "Mark the test with @pytest.mark.gaia(writes=True)" in str(caught.value)


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
