"""The difference of two OpenAPI documents: what breaks a client, and what does not."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.promotion.api_difference import Document, difference

if TYPE_CHECKING:
    from collections.abc import Callable

PERSONA = {
    "type": "object",
    "required": ["id", "name"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "name": {"type": "string", "maxLength": 80},
        "mood": {"enum": ["calm", "keen"]},
        "parent": {"$ref": "#/components/schemas/Persona"},
        "traits": {"type": "array", "items": {"type": "object", "properties": {"level": {"type": "integer"}}}},
    },
}
BASE: Document = {
    "openapi": "3.1.0",
    "components": {"schemas": {"Persona": PERSONA}},
    "paths": {
        "/personas/{persona_id}": {
            "parameters": [{"in": "path", "name": "persona_id", "required": True, "schema": {"type": "string"}}],
            "get": {
                "parameters": [{"in": "query", "name": "full", "schema": {"type": "boolean"}}],
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Persona"}}}},
                    "404": {"description": "none"},
                },
            },
        },
        "/personas": {
            "post": {
                "requestBody": {
                    "content": {"application/json": {"schema": {"allOf": [{"$ref": "#/components/schemas/Persona"}]}}}
                },
                "responses": {"201": {"description": "made"}},
            }
        },
    },
}
GET, POST = "GET /personas/{}", "POST /personas"


def changed(change: Callable[[Any], object]) -> Document:
    document = copy.deepcopy(BASE)
    change(document)
    return document


def get(document: Any) -> Any:
    return document["paths"]["/personas/{persona_id}"]["get"]


def post(document: Any) -> Any:
    return document["paths"]["/personas"]["post"]


def persona(document: Any) -> Any:
    return document["components"]["schemas"]["Persona"]


def of(change: Callable[[Any], object]) -> set[tuple[str, str, str]]:
    return {(each.kind, each.operation, each.text) for each in difference(BASE, changed(change))}


def test_a_document_does_not_differ_from_itself() -> None:
    assert difference(BASE, copy.deepcopy(BASE)) == ()


def test_the_name_of_a_parameter_in_the_path_is_no_difference() -> None:
    other = copy.deepcopy(BASE)
    item = other["paths"].pop("/personas/{persona_id}")
    item["parameters"][0]["name"] = "id"
    other["paths"]["/personas/{id}"] = item
    assert difference(BASE, other) == ()


@pytest.mark.parametrize(
    ("change", "operation", "text"),
    [
        (lambda d: d["paths"].pop("/personas"), POST, "is gone"),
        (lambda d: get(d)["responses"].pop("200"), GET, "no longer answers 200"),
        (lambda d: get(d).update(parameters=[]), GET, "no longer takes the query parameter 'full'"),
        (lambda d: get(d)["parameters"][0].update(required=True), GET, "the query parameter 'full' is now required"),
        (
            lambda d: get(d)["parameters"].append({"in": "header", "name": "X", "required": True}),
            GET,
            "needs a new header parameter 'X'",
        ),
        (lambda d: get(d).update(security=[{"key": []}]), GET, "asks for credentials now"),
        (lambda d: post(d)["requestBody"].update(required=True), POST, "the body is now required"),
        (lambda d: post(d).pop("requestBody"), POST, "no longer takes a body"),
        (
            lambda d: post(d)["requestBody"].update(content={"text/plain": {}}),
            POST,
            "no longer takes application/json",
        ),
        (lambda d: persona(d)["properties"].pop("name"), GET, "200.name is gone"),
        (
            lambda d: persona(d)["properties"]["name"].update(type="integer"),
            GET,
            "200.name: type string became integer",
        ),
        (lambda d: persona(d)["required"].remove("id"), GET, "200.id is no longer required"),
        (lambda d: persona(d)["required"].append("mood"), POST, "body.mood is now required"),
        (
            lambda d: persona(d)["properties"]["mood"]["enum"].append("wild"),
            GET,
            "200.mood: values calm|keen became calm|keen|wild",
        ),
        (
            lambda d: persona(d)["properties"]["mood"]["enum"].remove("keen"),
            POST,
            "body.mood: values calm|keen became calm",
        ),
        (
            lambda d: persona(d)["properties"]["traits"]["items"]["properties"].pop("level"),
            GET,
            "200.traits[].level is gone",
        ),
        (lambda d: persona(d)["properties"]["name"].update(maxLength=40), POST, "body.name: maxLength 80 became 40"),
        (
            lambda d: persona(d)["properties"]["name"].update(nullable=True),
            GET,
            "200.name: type string became null|string",
        ),
    ],
)
def test_what_breaks_a_client_is_found_where_it_breaks(
    change: Callable[[Any], object], operation: str, text: str
) -> None:
    assert ("breaking", operation, text) in of(change)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["paths"].update({"/new": {"get": {"responses": {}}}}),
        lambda d: get(d)["responses"].update({"409": {}}),
        lambda d: get(d)["responses"].pop("404"),
        lambda d: get(d)["parameters"].append({"in": "query", "name": "page"}),
        lambda d: persona(d)["properties"].update(colour={"type": "string"}),
        lambda d: get(d).update(description="other words"),
    ],
)
def test_what_only_adds_breaks_nobody(change: Callable[[Any], object]) -> None:
    assert all(kind == "compatible" for kind, _, _ in of(change))


def test_what_is_taken_and_what_is_said_break_in_opposite_ways() -> None:
    wider = of(lambda d: persona(d)["properties"]["name"].update(maxLength=160))
    assert ("breaking", GET, "200.name: maxLength 80 became 160") in wider
    assert ("compatible", POST, "body.name: maxLength 80 became 160") in wider


@pytest.mark.parametrize("document", [{}, {"openapi": "2.0", "paths": {}}, {"openapi": "3.0.0"}])
def test_what_is_no_openapi_document_is_refused(document: Document) -> None:
    with pytest.raises(ValueError, match="not an OpenAPI 3 document"):
        difference(BASE, document)


def test_a_reference_that_leads_nowhere_is_said() -> None:
    broken = changed(lambda d: d["components"]["schemas"].clear())
    with pytest.raises(ValueError, match="#/components/schemas/Persona: leads nowhere"):
        difference(BASE, broken)
