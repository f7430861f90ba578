"""The operations in an OpenAPI document: all of them, or an error."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gaia.expectations.apis import operations_of


def document(**paths: Any) -> dict[str, Any]:
    items = {
        "pathItems": {
            "A": {"get": {}},
            "B": {"$ref": "#/components/pathItems/A"},
            "C": {"$ref": "#/components/pathItems/C"},
        }
    }
    return {
        "openapi": "3.1.0",
        "servers": [{"url": "/base"}],
        "components": items,
        "paths": {"/" + name: item for name, item in paths.items()},
    }


def to(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/pathItems/{name}"}


def test_operations_are_methods_and_paths_as_documented() -> None:
    paths = {"orders/{id}": {"get": {}, "put": {}, "parameters": []}, "orders": {"post": {}}}
    assert operations_of(document(**paths)) == ("GET /orders/{id}", "POST /orders", "PUT /orders/{id}")


def test_paths_behind_a_reference_are_offered() -> None:
    found = document(a=to("A"), b=to("B"), c={"$ref": "#/paths/~1a"})
    assert operations_of(found | {"paths": {**found["paths"], "x-note": 1}}) == ("GET /a", "GET /b", "GET /c")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (document(a=to("C")), "/a is not an object, at the end of #/components/pathItems/C"),
        (document(a=to("None")), "/a is not an object, at the end of #/components/pathItems/None"),
        (document(a={"$ref": "other.json#/a"}), "/a is not an object, at the end of other.json#/a"),
        (document(a=7), "is invalid: /a is not an object"),
        (document() | {"openapi": "3.2.0"}, r"is OpenAPI 3\.2\.0; only 3\.0 and 3\.1"),
        (document() | {"openapi": "3.10.0"}, r"is OpenAPI 3\.10\.0; only 3\.0 and 3\.1"),
        ({"swagger": "2.0", "paths": {}}, r"is Swagger 2\.0"),
        ({"paths": {}}, "is not an OpenAPI document"),
    ],
)
def test_a_document_with_unknown_operations_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        operations_of(wrong)
