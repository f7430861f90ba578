"""The difference of two OpenAPI documents: what breaks a client, and what does not."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.promotion.api._difference import Document, difference

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
        (lambda d: get(d)["responses"].pop("200"), GET, "no longer returns 200"),
        (lambda d: get(d).update(parameters=[]), GET, "no longer accepts the query parameter 'full'"),
        (lambda d: get(d)["parameters"][0].update(required=True), GET, "the query parameter 'full' is now required"),
        (
            lambda d: get(d)["parameters"].append({"in": "header", "name": "X", "required": True}),
            GET,
            "requires a new header parameter 'X'",
        ),
        (lambda d: get(d).update(security=[{"key": []}]), GET, "now requires credentials"),
        (lambda d: post(d)["requestBody"].update(required=True), POST, "the body is now required"),
        (lambda d: post(d).pop("requestBody"), POST, "no longer accepts a body"),
        (
            lambda d: post(d)["requestBody"].update(content={"text/plain": {}}),
            POST,
            "no longer accepts application/json",
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
    with pytest.raises(ValueError, match="#/components/schemas/Persona: the target does not exist"):
        difference(BASE, broken)


def answering(schema: Any, **schemas: Any) -> Document:
    """A document whose operations, ``/a`` and ``/b``, return and accept ``schema``."""
    content = {"application/json": {"schema": schema}}
    operation = {"requestBody": {"content": content}, "responses": {"200": {"content": content}}}
    paths = {path: {"post": operation} for path in ("/a", "/b")}
    return {"openapi": "3.1.0", "paths": paths, "components": {"schemas": schemas}}


def ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def nested(depth: int, kind: str) -> Document:
    schema: Document = {"type": kind}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"next": schema}}
    return schema


@pytest.mark.parametrize("depth", [20, 40, 400])
def test_a_change_is_found_however_deep_it_is(depth: int) -> None:
    found = difference(answering(nested(depth, "string")), answering(nested(depth, "integer")))
    assert {each.kind for each in found} == {"breaking"}
    assert all(each.text.endswith("next: type string became integer") for each in found)


@pytest.mark.parametrize(
    "layer",
    [
        lambda below: {"type": "object", "properties": {"one": ref(below), "two": ref(below)}},
        lambda below: {"allOf": [ref(below), ref(below)]},
        lambda below: {"anyOf": [ref(below), {"type": "array", "items": ref(below)}]},
        lambda below: {"type": "array", "items": ref(below), "additionalProperties": ref(below)},
    ],
    ids=["properties", "allOf", "anyOf", "array"],
)
def test_a_schema_is_compared_once_and_reported_once_with_where_it_is_used(layer: Callable[[str], Document]) -> None:
    def document(kind: str) -> Document:
        layers = {f"S{number}": layer(f"S{number - 1}") for number in range(1, 101)}
        return answering(ref("S100"), S0={"type": "object", "properties": {"x": {"type": kind}}}, **layers)

    read, sent = difference(document("string"), document("integer"))

    assert {read.text[:3], sent.text[:3]} == {"200", "bod"}
    for each in (read, sent):
        assert (each.kind, each.operation, each.also) == ("breaking", "POST /a", ("POST /b",))
        assert each.text.endswith("x: type string became integer")
        assert str(each).endswith("also in POST /b)")


def test_schemas_that_refer_to_each_other_are_compared() -> None:
    def document(kind: str) -> Document:
        one = {"type": "object", "properties": {"two": ref("Two"), "self": ref("One")}}
        two = {"type": "object", "properties": {"one": ref("One"), "x": {"type": kind}}}
        return answering(ref("One"), One=one, Two=two)

    assert difference(document("string"), document("string")) == ()
    assert {each.text for each in difference(document("string"), document("integer"))} == {
        "200.two.x: type string became integer",
        "body.two.x: type string became integer",
    }


@pytest.mark.parametrize("schema", [ref("Circle"), {"allOf": [ref("Circle")]}])
def test_a_reference_that_only_leads_to_itself_is_an_error(schema: Document) -> None:
    document = answering(ref("Circle"), Circle=schema)
    with pytest.raises(ValueError, match="refers to itself"):
        difference(document, copy.deepcopy(document))


STRING, OPTIONAL = {"type": "string", "maxLength": 9}, {"anyOf": [ref("X"), {"type": "null"}]}


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        # Compared: in places that schemas can stand in.
        (OPTIONAL, OPTIONAL, {"breaking"}),
        ({"type": "array", "prefixItems": [ref("X")]}, {"type": "array", "prefixItems": [ref("X")]}, {"breaking"}),
        ({"patternProperties": {"^a": ref("X")}}, {"patternProperties": {"^a": ref("X")}}, {"breaking"}),
        ({"additionalProperties": ref("X")}, {"additionalProperties": ref("X")}, {"breaking"}),
        ({"anyOf": [STRING, {"type": "null"}]}, {"anyOf": [STRING | {"maxLength": 5}, {"type": "null"}]}, {"breaking", "compatible"}),
        ({"allOf": [{"maxLength": 9}, {"maxLength": 8}]}, {"allOf": [{"maxLength": 9}, {"maxLength": 5}]}, {"breaking", "compatible"}),
        ({"type": "array"}, {"type": "array", "items": STRING}, {"breaking", "compatible"}),
        ({"type": "object"}, {"type": "object", "additionalProperties": False}, {"breaking", "compatible"}),
        ({"type": "object"}, {"type": "object", "required": ["x"]}, {"breaking", "compatible"}),
        ({"$ref": "#/components/schemas/Y", "maxLength": 9}, {"$ref": "#/components/schemas/Y", "maxLength": 5}, {"breaking", "compatible"}),
        # Not compared, and so reported as not known.
        ({"not": ref("X")}, {"not": ref("X")}, {"unclear"}),
        ({"type": "string"}, {"type": "string", "not": {"const": "a"}}, {"unclear"}),
        ({"type": "array"}, {"type": "array", "uniqueItems": True}, {"unclear"}),
        ({"multipleOf": 2}, {"multipleOf": 3}, {"unclear"}),
        ({"anyOf": [STRING, ref("Y")]}, {"oneOf": [STRING, ref("Y")]}, {"unclear"}),
        ({"anyOf": [STRING], "type": "string"}, {"anyOf": [STRING], "type": "object"}, {"unclear"}),
        ({"prefixItems": [STRING]}, {"prefixItems": [STRING, STRING]}, {"unclear"}),
        ({"properties": {"a": True}}, {"properties": {"a": False}}, {"unclear"}),
        # No difference.
        ({"type": "array"}, {"type": "array", "items": {}, "uniqueItems": False, "additionalProperties": True}, set()),
        ({"type": "string"}, {"type": "string", "title": "T", "default": "d", "x-order": 1}, set()),
        ({"anyOf": [STRING, ref("Y")]}, {"anyOf": [ref("Y"), STRING]}, set()),
        ({"allOf": [ref("Y")], "description": "old"}, ref("Y"), set()),
        (STRING | {"allOf": [{"maxLength": 9}]}, STRING, set()),
    ],
)  # fmt: skip
def test_every_part_of_a_schema_is_compared_or_reported_as_unclear(
    before: Document, after: Document, kinds: set[str]
) -> None:
    old = answering(before, X={"type": "integer"}, Y={"type": "string"})
    new = answering(after, X={"type": "string"}, Y={"type": "string"})
    assert {each.kind for each in difference(old, new)} == kinds


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (
            lambda d: d["paths"]["/personas/{persona_id}"]["parameters"][0]["schema"].update(format="uuid"),
            "breaking",
            "path parameter 'persona_id': format None became uuid",
        ),
        (lambda d: d.update(security=[{"key": []}]), "breaking", "now requires credentials"),
        (lambda d: get(d)["parameters"][0].update(style="form"), "unclear", "query parameter 'full': style changed"),
        (lambda d: post(d).update(callbacks={"done": {}}), "unclear", "callbacks changed"),
        (lambda d: d.update(webhooks={"new": {}}), "unclear", "webhooks changed"),
        (lambda d: d["paths"]["/personas"].update(query={}), "unclear", "query /personas cannot be compared"),
    ],
)
def test_every_part_of_an_operation_is_compared_or_reported_as_unclear(
    change: Callable[[Any], object], kind: str, text: str
) -> None:
    assert any(found == kind and said.startswith(text) for found, _, said in of(change)), of(change)


def test_operations_behind_a_reference_and_headers_are_compared() -> None:
    def document(header: str, kind: str) -> Document:
        operation = {"responses": {"200": {"headers": {header: {"schema": {"type": kind}}}}}}
        items = {"pathItems": {"A": {"get": operation}}}
        return {"openapi": "3.1.0", "paths": {"/a": {"$ref": "#/components/pathItems/A"}}, "components": items}

    before = document("X-Count", "integer")
    (change,) = difference(before, document("x-count", "string"))
    assert (change.kind, change.text) == ("breaking", "200 header x-count: type integer became string")
    (change,) = difference(before, document("X-Total", "integer"))
    assert (change.kind, change.text) == ("breaking", "200 no longer has the header x-count")
