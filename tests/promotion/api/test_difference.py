"""The difference of two OpenAPI documents: what breaks a client, and what does not."""

from __future__ import annotations

import copy
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

# It has no types.
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from pytest_gaia.promotion.api._difference import ApiChange, Document
from pytest_gaia.promotion.api._difference import difference as compared

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
GET, POST = "GET /personas/{persona_id}", "POST /personas"
TODAY = date(2026, 11, 30)


def difference(before: Document, after: Document) -> tuple[ApiChange, ...]:
    return compared(before, after, TODAY)


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
            POST,
            "body.traits[].level is gone",
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
        lambda d: d.update(servers=[{"url": "https://host"}]),
    ],
)
def test_what_only_adds_breaks_nobody(change: Callable[[Any], object]) -> None:
    assert {kind for kind, _, _ in of(change)} <= {"compatible"}


def test_what_is_taken_and_what_is_said_break_in_opposite_ways() -> None:
    wider = of(lambda d: persona(d)["properties"]["name"].update(maxLength=160))
    assert ("breaking", GET, "200.name: maxLength 80 became 160") in wider
    assert ("compatible", POST, "body.name: maxLength 80 became 160") in wider


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "the newer document is not an OpenAPI document"),
        ({"openapi": "3.0.0"}, "the newer document is not an OpenAPI document"),
        ({"swagger": "2.0", "paths": {}}, r"the newer document is Swagger 2\.0; only OpenAPI 3\.0 and 3\.1"),
        # It may have operations with the method QUERY, or with methods of its own.
        ({"openapi": "3.2.0", "paths": {}}, r"the newer document is OpenAPI 3\.2\.0; only 3\.0 and 3\.1"),
        ({"openapi": "3.10.0", "paths": {}}, r"OpenAPI 3\.10\.0; only"),
        ({"openapi": "4.0.0", "paths": {}}, r"OpenAPI 4\.0\.0; only"),
    ],
)
def test_what_is_no_known_openapi_document_is_refused(document: Document, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        difference(BASE, document)


@pytest.mark.parametrize("version", ["3.0.3", "3.1.1", "3.1"])
def test_known_versions_are_compared(version: str) -> None:
    assert difference(BASE, BASE | {"openapi": version}) == ()


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


def fields(required: Any = (), **properties: Any) -> Document:
    return {"type": "object", "properties": properties, "required": list(required)}


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
        ({"anyOf": [STRING], "type": "string"}, {"anyOf": [STRING], "type": "object"}, {"breaking"}),
        # Not compared, and so reported as not known.
        ({"not": ref("X")}, {"not": ref("X")}, {"unclear"}),
        ({"type": "string"}, {"type": "string", "not": {"const": "a"}}, {"unclear"}),
        ({"type": "array"}, {"type": "array", "uniqueItems": True}, {"unclear"}),
        ({"multipleOf": 2}, {"multipleOf": 3}, {"unclear"}),
        ({"anyOf": [STRING, ref("Y")]}, {"oneOf": [STRING, ref("Y")]}, {"unclear"}),
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
        (
            lambda d: get(d)["parameters"][0].update(style="pipeDelimited"),
            "unclear",
            "query parameter 'full': style changed",
        ),
        (
            lambda d: get(d)["parameters"][0].update(content={"application/json": {}}),
            "unclear",
            "query parameter 'full': its media type changed",
        ),
        (lambda d: post(d)["responses"].pop("201"), "breaking", "no longer returns 201"),
        (lambda d: post(d).update(callbacks={"done": {}}), "unclear", "callbacks changed"),
        (lambda d: d.update(webhooks={"new": {}}), "unclear", "webhooks changed"),
        (lambda d: d.update(servers=[{"url": "https://host/v2"}]), "unclear", "the path of the server changed"),
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


@pytest.mark.parametrize(
    ("before", "after", "read", "sent"),
    [
        # Unions: a reader does not know a new branch, a sender needs each old one.
        ({"anyOf": [ref("X"), ref("Y")]}, {"anyOf": [ref("X"), ref("Y"), ref("Z")]}, "may also be Z", ""),
        ({"oneOf": [ref("X"), ref("Y")]}, {"oneOf": [ref("X")]}, "", "can no longer be Y"),
        (ref("X"), {"anyOf": [ref("X"), {"type": "null"}]}, "may also be null", ""),
        ({"anyOf": [ref("X"), {"type": "null"}]}, ref("X"), "", "can no longer be null"),
        ({"anyOf": [{"const": "a"}, {"const": "b"}]}, {"anyOf": [{"const": "b"}, {"const": "a"}]}, "", ""),
        ({"anyOf": [{"const": "a"}]}, {"anyOf": [{"const": "a"}, {"const": "b"}]}, "may also be b", ""),
        ({"anyOf": [{"type": "number"}]}, {"anyOf": [{"type": "integer"}, {"type": "number"}]}, "", ""),
        # The same schema with another name.
        ({"anyOf": [ref("X"), {"type": "null"}]}, {"anyOf": [ref("X2"), {"type": "null"}]}, "", ""),
        ({"type": ["string"]}, {"type": ["string", "integer"]}, "type string became integer|string", ""),
        # OpenAPI 3.0 and 3.1 write null and exclusive bounds in different ways.
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}, "", ""),
        ({"type": "string", "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}, "", ""),
        ({"minimum": 0, "exclusiveMinimum": True}, {"exclusiveMinimum": 0}, "", ""),
        ({"maximum": 9, "exclusiveMaximum": False}, {"maximum": 9}, "", ""),
        ({"maximum": 9}, {"exclusiveMaximum": 9}, "", "maximum 9 became 9 (excluded)"),
        ({"minLength": 0}, {}, "", ""),
        # Formats and values.
        ({"type": "integer", "format": "int32"}, {"type": "integer", "format": "int64"}, "format int32 became int64", ""),
        ({"enum": [1]}, {"enum": ["1"]}, "type integer became string", "type integer became string"),
        ({"enum": ["a"]}, {"const": "a", "type": "string"}, "", ""),
        ({"const": "a"}, {"allOf": [{"enum": ["b"]}, {"const": "a"}]}, "", "values a became "),
        # Only one direction has these fields.
        (ref("Y"), fields(a={"type": "string", "readOnly": True}, required=["a"]), "", ""),
        (fields(a={"type": "string", "readOnly": True}, required=["a"]), ref("Y"), ".a is gone", ""),
        (fields(a={"type": "string", "writeOnly": True}), ref("Y"), "", ".a is gone"),
        # A field that readers could not rely on.
        (fields(a=STRING), ref("Y"), "", ".a is gone"),
        (fields(a=STRING, required=["a"]), ref("Y"), ".a is gone", ".a is gone"),
    ],
)  # fmt: skip
def test_a_difference_breaks_those_who_read_it_or_those_who_send_it(
    before: Document, after: Document, read: str, sent: str
) -> None:
    schemas = {"X": fields(x=STRING), "X2": fields(x=STRING), "Y": {"type": "object"}, "Z": fields(z=STRING)}
    found = difference(answering(before, **schemas), answering(after, **schemas))
    said = {each.text[:3]: each.text for each in found if each.kind != "compatible"}
    assert (read in said.get("200", ""), sent in said.get("bod", "")) == (True, True), said
    assert (bool(said.get("200")), bool(said.get("bod"))) == (bool(read), bool(sent)), said


def test_an_error_of_a_newer_framework_with_fewer_optional_fields_breaks_nobody() -> None:
    def error(**more: Any) -> Document:
        where = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
        one = fields(loc={"type": "array", "items": where}, msg={"type": "string"}, required=["loc", "msg"], **more)
        return answering(fields(detail={"type": "array", "items": ref("Error")}), Error=one)

    found = difference(error(input={"title": "Input"}, ctx={"type": "object"}), error())
    assert {(each.kind, each.text) for each in found if each.text.startswith("200")} == {
        ("compatible", "200.detail[].ctx is gone, and was optional"),
        ("compatible", "200.detail[].input is gone, and was optional"),
    }


@pytest.mark.parametrize(
    ("sunset", "kind", "text"),
    [
        ({}, "breaking", "is gone"),
        ({"deprecated": True}, "breaking", "is gone"),
        ({"x-sunset": "2026-11-29"}, "breaking", "is gone"),
        ({"deprecated": True, "x-sunset": "2026-11-29"}, "compatible", "is gone, after its sunset on 2026-11-29"),
        ({"deprecated": True, "x-sunset": "2026-11-30"}, "breaking", "is gone, before its sunset on 2026-11-30"),
        ({"deprecated": True, "x-sunset": "2026-11-30T01:00:00+02:00"}, "compatible", "is gone, after its sunset on 2026-11-29"),
        ({"deprecated": True, "x-sunset": "Sun, 29 Nov 2026 23:59:59 GMT"}, "compatible", "is gone, after its sunset on 2026-11-29"),
        ({"deprecated": True, "x-sunset": "soon"}, "breaking", "is gone, and its x-sunset is not a date"),
        ({"deprecated": True, "x-sunset": None}, "breaking", "is gone, and its x-sunset is not a date"),
    ],
)  # fmt: skip
def test_an_operation_may_be_removed_after_its_announced_sunset(sunset: Document, kind: str, text: str) -> None:
    before = changed(lambda d: get(d).update(sunset))
    # Reported once, and not again for its parameters and schemas.
    (change,) = difference(before, changed(lambda d: d["paths"].pop("/personas/{persona_id}")))
    assert (change.kind, change.operation, change.text) == (kind, GET, text)


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ([], [{"key": []}], "now requires credentials"),
        ([{}], [{"key": []}, {}], ""),
        ([{"key": []}], [{"renamed": []}], ""),
        ([{"key": []}], [{"other": []}], "no longer accepts the credentials apikey header x-key"),
        ([{"key": []}], [{"key": [], "other": []}], "no longer accepts the credentials apikey header x-key"),
        ([{"login": ["read"]}], [{"login": ["read", "write"]}], "no longer accepts the credentials oauth2"),
        ([{"login": ["read", "write"]}], [{"login": ["read"]}], ""),
    ],
)
def test_credentials_that_were_enough_must_stay_enough(
    before: list[Document], after: list[Document], text: str
) -> None:
    key = {"type": "apiKey", "in": "header", "name": "X-Key"}
    schemes = {"key": key, "renamed": key, "other": key | {"name": "X-Other"}, "login": {"type": "oauth2", "flows": {}}}

    def document(security: list[Document]) -> Document:
        return changed(lambda d: get(d).update(security=security) or d["components"].update(securitySchemes=schemes))

    found = difference(document(before), document(after))
    assert [each.text for each in found if each.kind == "breaking"] == ([text] if text else [])


def test_a_scheme_that_one_document_does_not_define_is_compared_by_name() -> None:
    defined = changed(lambda d: get(d).update(security=[{"key": []}]))
    defined["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    undefined = changed(lambda d: get(d).update(security=[{"key": []}]))
    assert difference(undefined, defined) == difference(defined, undefined) == ()


def responding(responses: Document) -> Document:
    return changed(lambda d: get(d).update(responses=responses))


def as_type(**kinds: str) -> Document:
    """Contents, by media type."""
    return {"content": {kind.replace("_", "/"): {"schema": {"type": type_}} for kind, type_ in kinds.items()}}


JSON = as_type(application_json="string")


@pytest.mark.parametrize(
    ("before", "after", "breaking"),
    [
        ({"200": JSON}, {"2XX": JSON}, []),
        ({"2XX": JSON}, {"200": as_type(application_json="integer")}, ["200: type string became integer"]),
        ({"default": JSON}, {"200": JSON, "404": as_type(application_json="integer")}, ["404: type string became integer"]),
        # The default describes errors, if there is a success.
        ({"200": JSON}, {"default": JSON}, []),
        ({"200": JSON, "201": JSON}, {"200": JSON, "default": JSON}, ["no longer returns 201"]),
        ({"200": JSON, "default": JSON}, {"200": JSON}, []),
        ({"302": {}}, {"200": JSON}, ["no longer returns 302"]),
        ({"200": JSON, "304": {}}, {"200": JSON}, []),
        ({"200": JSON}, {"200": {"content": {"application/json; charset=utf-8": JSON["content"]["application/json"]}}}, []),
        ({"200": as_type(**{"*_*": "string"})}, {"200": JSON}, []),
        ({"200": JSON}, {"200": {}}, ["200 is no longer application/json"]),
        ({"200": JSON}, {"200": JSON, "x-note": "a"}, []),
    ],
)  # fmt: skip
def test_responses_are_compared_with_what_describes_them(
    before: Document, after: Document, breaking: list[str]
) -> None:
    assert [
        each.text for each in difference(responding(before), responding(after)) if each.kind != "compatible"
    ] == breaking


def test_names_of_header_parameters_have_no_case_and_defaults_are_no_difference() -> None:
    def document(**parameter: Any) -> Document:
        return changed(lambda d: get(d)["parameters"].append({"in": "header", **parameter}))

    plain = document(name="X-Trace", schema={"type": "string"})
    assert difference(plain, document(name="x-trace", schema={"type": "string"}, style="simple", explode=False)) == ()


def test_a_body_behind_a_reference_is_required_if_its_target_is() -> None:
    after = changed(lambda d: d["components"].update(requestBodies={"B": {"required": True, "content": {}}}))
    get(after)["requestBody"] = {"$ref": "#/components/requestBodies/B"}
    assert [(each.kind, each.text) for each in difference(BASE, after)] == [("breaking", "now requires a body")]


def offering(*operations: str) -> Document:
    paths: Document = {}
    for operation in operations:
        method, path = operation.split()
        paths.setdefault(path, {})[method.lower()] = {}
    return {"openapi": "3.1.0", "paths": paths}


def rows(before: Document, after: Document) -> set[str]:
    return {f"{each.group or each.operation} {each.text}" for each in difference(before, after)}


OLD = (
    "GET /v1/",
    "GET /v1/items",
    "POST /v1/items",
    "GET /v1/items/{id}",
    "PUT /v1/items/{id}",
    "GET /v1/items/{id}/parts",
)


def test_operations_that_are_gone_together_are_one_group() -> None:
    assert rows(offering(*OLD), offering("GET /v2/items")) == {"/v1/* (6 operations) is gone", "GET /v2/items is new"}
    assert {each.operation for each in difference(offering(*OLD), offering())} == set(OLD)


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        # Below the prefix, so that the pattern would include it; if it is also new, or a parameter may be the prefix.
        ("GET /v1/items", {"/v1/items/* (3 operations)", "GET /v1/", "POST /v1/items"}),
        ("GET /v1/items/other", {*OLD}),
        ("GET /v1/{kind}/{id}", {*OLD}),
        ("GET /{version}/status", {"/v1/items/* (3 operations)", "GET /v1/", "GET /v1/items", "POST /v1/items"}),
    ],
)
def test_a_group_includes_no_operation_that_is_offered(new: str, expected: set[str]) -> None:
    found = rows(offering(*OLD), offering(new)) - {f"{new} is new"}
    assert found == {f"{each} is gone" for each in expected}


PATHS = st.lists(st.sampled_from(["a", "b", "{x}", ""]), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
OPERATIONS = st.sets(st.builds("{} {}".format, st.sampled_from(["GET", "PUT"]), PATHS))


@given(OPERATIONS, OPERATIONS)
def test_groups_hide_nothing(old: set[str], new: set[str]) -> None:
    found = difference(offering(*old), offering(*new))

    assert {each.operation for each in found} == old ^ new
    for each in found:
        if each.group:
            prefix = each.group.partition("*")[0]
            others = new if each.text == "is gone" else old
            assert each.operation.split()[1].startswith(prefix)
            assert not [other for other in others if other.split()[1].startswith(prefix)]
            members = [other for other in found if (other.group, other.text) == (each.group, each.text)]
            assert each.group.endswith(f"({len(members)} operations)")


LEAVES = [
    {"type": "string"}, {"type": "string", "maxLength": 1}, {"type": "integer"}, {"type": "integer", "exclusiveMinimum": 1},
    {"type": "number"}, {"type": ["integer", "null"]}, {"type": "null"}, {"enum": ["a", 1]}, {"const": "ab"}, ref("X"), {}, True,
]  # fmt: skip
SCHEMAS = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"type": "array", "items": part}, inner),
        st.builds(lambda part, required: fields(a=part, required=required), inner, st.sampled_from([[], ["a"]])),
        st.builds(lambda parts: {"allOf": parts}, st.lists(inner, min_size=1, max_size=2)),
    ),
    max_leaves=6,
)
VALUES: list[Any] = ["a", "ab", 1, 2, 2.5, None, True, [], {}, [1], ["ab"], [[]]]
VALUES += [{"a": value} for value in VALUES]


@given(SCHEMAS, SCHEMAS)
def test_what_is_reported_as_compatible_is_so(one: Any, other: Any) -> None:
    shared = {"X": {"type": ["boolean", "string"]}}
    old, new = (
        [Draft202012Validator({**answering({}, **shared), "allOf": [schema]}).is_valid(value) for value in VALUES]
        for schema in (one, other)
    )
    found = difference(answering(one, **shared), answering(other, **shared))

    assert found == () or one != other
    places = {each.text[:3] for each in found if each.kind != "compatible"}
    assert places >= {"bod"} or not any(before and not after for before, after in zip(old, new, strict=True))
    # An optional field that is gone, or a new one, is compatible, although a field of its name may have any value.
    if not any(each.text.endswith((" is new", "was optional")) for each in found):
        assert places >= {"200"} or not any(after and not before for before, after in zip(old, new, strict=True))
