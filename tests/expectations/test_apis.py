"""Operations of OpenAPI documents: which a release offers, and which the baseline offered."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from pytest_gaia.expectations.apis import (
    NO_APIS,
    Api,
    Apis,
    Baseline,
    NamedOperation,
    api_of,
    lacking_reason,
    operations_of,
    prefix_of,
    removed_without_tests,
)

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "paths": {
        "/orders": {"get": {}, "post": {}, "parameters": [], "summary": "Orders"},
        "/orders/{order_id}": {"get": {}},
        "/orders/latest": {"delete": {}},
    },
}


DAY = date(2026, 3, 15)


def api(*operations: str, prefix: str = "") -> Api:
    return Api("sha256:0", operations, prefix)


def apis(*now: str, before: tuple[str, ...] | None = None, prefix: str = "") -> Apis:
    baseline = None if before is None else Baseline("release 1", {"orders": api(*before)})
    return Apis({"orders": api(*now, prefix=prefix)}, baseline)


def test_the_operations_of_a_document_are_methods_and_paths() -> None:
    assert operations_of(DOCUMENT) == (
        "DELETE /orders/latest",
        "GET /orders",
        "GET /orders/{order_id}",
        "POST /orders",
    )


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"swagger": "2.0", "paths": {}},
        {"openapi": "3.2.0", "paths": {}},
        {"openapi": "3.1.0"},
        {"openapi": "3.1.0", "paths": []},
    ],
)
def test_another_document_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is (not an OpenAPI document|Swagger|OpenAPI 3\.2)"):
        operations_of(document)


@pytest.mark.parametrize(
    ("servers", "prefix"),
    [
        ([{"url": "/api"}], "/api"),
        ([{"url": "https://shop.example.com/v1/"}], "/v1"),
        ([{"url": "/{version}"}], ""),
        ([], ""),
        (None, ""),
        (["x"], ""),
    ],
)
def test_the_path_of_the_first_server_is_the_prefix(servers: object, prefix: str) -> None:
    assert prefix_of({"servers": servers}) == prefix


@pytest.mark.parametrize(
    ("method", "path", "missing"),
    [
        ("GET", "/orders", False),
        ("GET", "/orders/{id}", False),
        ("GET", "/orders/7", False),
        ("GET", "/orders/a%20b", False),
        ("DELETE", "/orders/latest", False),
        ("DELETE", "/orders/7", True),
        ("GET", "/orders/7/lines", True),
        ("GET", "/orders/", True),
        ("GET", "/order", True),
        ("HEAD", "/orders", True),
    ],
)
@pytest.mark.parametrize("status", [404, 405])
def test_a_missing_route_is_not_in_the_document(method: str, path: str, missing: bool, status: int) -> None:
    found = apis(*operations_of(DOCUMENT)).missing("orders", method, path, status)

    assert found == (f"orders: {method} {path}" if missing else "")


@pytest.mark.parametrize("status", [200, 307, 401, 403, 410, 422, 500, 503, None])
def test_another_response_shows_that_the_operation_exists(status: int | None) -> None:
    assert apis("GET /orders").missing("orders", "GET", "/invoices", status) == ""


def test_without_a_document_nothing_is_missing() -> None:
    assert NO_APIS.missing("orders", "GET", "/orders", 404) == ""
    assert apis("GET /orders").missing("billing", "GET", "/invoices", 404) == ""
    assert NO_APIS.offers(NamedOperation("orders", "GET", "/orders")) is None


def test_paths_count_with_and_without_the_prefix_of_the_server() -> None:
    known = apis("GET /orders", prefix="/v1")

    assert known.missing("orders", "GET", "/v1/orders", 404) == known.missing("orders", "GET", "/orders", 404) == ""
    assert known.missing("orders", "GET", "/v2/orders", 404)


def test_requests_of_one_operation_of_the_baseline_count_as_one() -> None:
    known = apis("GET /health", before=("GET /health", "GET /orders/{order_id}", "GET /orders/latest"))

    found = {known.missing("orders", "GET", path, 404) for path in ("/orders/7", "/orders/8", "/orders/{id}")}
    assert found == {"orders: GET /orders/{order_id}"}
    assert known.missing("orders", "GET", "/orders/latest", 404) == "orders: GET /orders/latest"
    assert known.in_baseline("orders: GET /orders/{order_id}", DAY) is True
    assert known.in_baseline("orders: GET /invoices", DAY) is False
    assert apis("GET /health").in_baseline("orders: GET /invoices", DAY) is None
    assert removed_without_tests(known, {"orders: GET /orders/latest"}, DAY) == ["orders: GET /orders/{order_id}"]


@pytest.mark.parametrize(("sunset", "offered"), [("2026-03-14", False), ("2026-03-15", True), ("soon", True)])
def test_an_operation_after_its_sunset_is_not_missed(sunset: str, offered: bool) -> None:
    document = {"openapi": "3.1.0", "paths": {"/orders": {"get": {"deprecated": True, "x-sunset": sunset}}}}
    known = Apis({"orders": api()}, Baseline("release 1", {"orders": api_of(document, "0")}))

    assert known.in_baseline("orders: GET /orders", DAY) is offered
    assert removed_without_tests(known, (), DAY) == ["orders: GET /orders"] * offered


@pytest.mark.parametrize(
    ("pattern", "operation", "covered"),
    [
        ("orders: GET /orders/{id}", "orders: GET /orders/{order_id}", True),
        ("orders: GET /orders", "orders: GET /orders/{order_id}", False),
        ("orders: GET /orders*", "orders: GET /orders/{order_id}", True),
        ("orders: * /orders*", "orders: POST /orders", True),
        ("orders: * /orders/*", "orders: POST /orders", False),
        ("billing: * /*", "orders: POST /orders", False),
        ("GET /orders", "orders: GET /orders", True),
    ],
)
def test_a_pattern_covers_operations(pattern: str, operation: str, covered: bool) -> None:
    assert NamedOperation.of(pattern, "orders", pattern=True).covers(operation) is covered


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("GET /orders", "has no service"),
        ("orders: get /orders", "is not an operation"),
        ("orders: GET orders", "is not an operation"),
        ("orders: GET", "is not an operation"),
        ("orders: GET /orders ", ""),
        ("orders: GET /a b", "is not an operation"),
        ("orders: * /orders", "is not an operation"),
        ("orders: GET /orders*", "name one operation"),
    ],
)
def test_a_malformed_operation_is_refused(text: str, problem: str) -> None:
    if problem:
        with pytest.raises(ValueError, match=problem):
            NamedOperation.of(text, None)
    else:
        assert str(NamedOperation.of(text, None)) == text.strip()


def test_the_reason_names_each_service_once() -> None:
    assert lacking_reason([]) is None
    assert lacking_reason(["orders: GET /a", "billing: GET /b", "orders: POST /a"]) == (
        "orders does not offer GET /a, POST /a in this release; billing does not offer GET /b in this release"
    )
