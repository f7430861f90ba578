"""Validation of request bodies and queries, with FastAPI's responses for errors (422): by fields, or by an OpenAPI document."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pytest_gaia.sandbox._services.app import Handler, HttpError, Request


class Field(NamedTuple):
    """The rule for a field: its ``types``, and optional ``choices``."""

    types: tuple[type, ...]
    word: str
    optional: bool = False
    choices: tuple[str, ...] = ()
    longest: int | None = None
    nullable: bool = True
    """whether an optional field may be null"""

    def problem(self, value: object) -> dict[str, object] | None:
        """Return the problem with a value as FastAPI reports it, or None."""
        if value is None and self.optional and self.nullable:
            return None
        if self.choices and value not in self.choices:
            return _choice_problem(self.choices)
        if not isinstance(value, self.types) or (isinstance(value, bool) and bool not in self.types):
            return {"type": f"{self.word}_type", "msg": f"Input should be a valid {_NOUNS.get(self.word, self.word)}"}
        if self.longest and isinstance(value, str) and len(value) > self.longest:
            limit = {"max_length": self.longest}
            return {
                "type": "string_too_long",
                "msg": f"String should have at most {self.longest} characters",
                "ctx": limit,
            }
        return None


_NOUNS = {"bool": "boolean", "dict": "dictionary", "int": "integer"}


def _choice_problem(choices: tuple[str, ...]) -> dict[str, object]:
    quoted = [f"'{choice}'" for choice in choices]
    expected = f"{', '.join(quoted[:-1])} or {quoted[-1]}"
    return {"type": "enum", "msg": f"Input should be {expected}", "ctx": {"expected": expected}}


STRING = Field((str,), "string")
NUMBER = Field((int, float), "number")
OPTIONAL_STRING = Field((str,), "string", optional=True)
OPTIONAL_BOOLEAN = Field((bool,), "bool", optional=True)
OPTIONAL_OBJECT = Field((dict,), "dict", optional=True)


def validated(body: bytes, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return the JSON object in ``body`` if all ``fields`` are valid. Raises ``HttpError`` 422."""
    content = _parsed(body)
    problems = []
    for name, field in fields.items():
        if name not in content:
            if not field.optional:
                problems.append(_problem("missing", ["body", name], "Field required", content))
        elif problem := field.problem(content[name]):
            kind, message = str(problem.pop("type")), str(problem.pop("msg"))
            problems.append(_problem(kind, ["body", name], message, content[name], **problem))
    if problems:
        raise HttpError(422, problems)
    return content


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in ``body``. Raises ``HttpError`` 422."""
    return validated(body, {})


def checked(operation: Mapping[str, Any], schemas: Mapping[str, Any], handler: Handler) -> Handler:
    """Return ``handler`` for valid requests: with the parameters and the body that ``operation`` of a document describes."""
    parameters = [each for each in operation.get("parameters", ()) if each["in"] != "path"]
    content = operation.get("requestBody", {}).get("content", {})
    body = content.get("application/json", {}).get("schema")
    fields = None if body is None else _fields(_resolved(body, schemas), schemas)

    async def handle(request: Request) -> object:
        problems = [each for parameter in parameters for each in _parameter_problems(parameter, request)]
        if problems:
            raise HttpError(422, problems)
        if fields is not None:
            validated(request.content, fields)
        return await handler(request)

    return handle


_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "string"),
    "integer": ((int,), "int"),
    "number": ((int, float), "number"),
    "boolean": ((bool,), "bool"),
    "object": ((dict,), "dict"),
    "array": ((list,), "list"),
}


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Field]:
    required = schema.get("required", ())
    return {name: _field(each, schemas, name in required) for name, each in schema.get("properties", {}).items()}


def _field(schema: Mapping[str, Any], schemas: Mapping[str, Any], required: bool) -> Field:
    """Return the rule for one property. Only the first type of a union counts; the others in the documents are null."""
    first = _resolved(schema.get("anyOf", [schema])[0], schemas)
    types, word = _TYPES[first["type"]]
    nullable = {"type": "null"} in schema.get("anyOf", ())
    choices = tuple(first.get("enum", ()))
    return Field(types, word, optional=not required, nullable=nullable, choices=choices, longest=first.get("maxLength"))


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    return schema if reference is None else schemas[reference.rpartition("/")[2]]


def _parameter_problems(parameter: Mapping[str, Any], request: Request) -> list[dict[str, object]]:
    name, place, schema = parameter["name"], parameter["in"], parameter["schema"]
    given = request.headers if place == "header" else request.query_params
    text = given.get(name)
    if text is None:
        return [_problem("missing", [place, name], "Field required", None)] if parameter.get("required") else []
    if schema.get("type") == "boolean" and text.lower() not in _BOOLEANS:
        message = "Input should be a valid boolean, unable to interpret input"
        return [_problem("bool_parsing", [place, name], message, text)]
    if schema.get("type") == "integer":
        return list(_integer_problems(schema, [place, name], text))
    return []


_BOOLEANS = ("0", "off", "f", "false", "n", "no", "1", "on", "t", "true", "y", "yes")


def _integer_problems(schema: Mapping[str, Any], place: list[object], text: str) -> Iterator[dict[str, object]]:
    try:
        number = int(text)
    except ValueError:
        yield _problem("int_parsing", place, _NO_INTEGER, text)
        return
    limits = (("minimum", "ge", "greater than or equal to"), ("maximum", "le", "less than or equal to"))
    for key, name, words in limits:
        limit = schema.get(key)
        if limit is not None and (number < limit if key == "minimum" else number > limit):
            kind, message = f"{words.split()[0]}_than_equal", f"Input should be {words} {limit}"
            yield _problem(kind, place, message, text, ctx={name: limit})


_NO_INTEGER = "Input should be a valid integer, unable to parse string as an integer"


def required_query(request: Request, name: str) -> str:
    """Return a value of the query. Raises ``HttpError`` 422 if it is missing."""
    query = request.query_params
    if name not in query:
        raise HttpError(422, [_problem("missing", ["query", name], "Field required", None)])
    return query[name]


def whole_number(request: Request, name: str, default: int) -> int:
    """Return a whole number of the query. Raises ``HttpError`` 422."""
    text = request.query_params.get(name, str(default))
    try:
        return int(text)
    except ValueError:
        raise HttpError(422, [_problem("int_parsing", ["query", name], _NO_INTEGER, text)]) from None


def _parsed(body: bytes) -> dict[str, Any]:
    if not body:
        raise HttpError(422, [_problem("missing", ["body"], "Field required", None)])
    try:
        content = json.loads(body)
    except ValueError as error:
        position = getattr(error, "pos", 0)
        problem = _problem("json_invalid", ["body", position], "JSON decode error", {}, ctx={"error": str(error)})
        raise HttpError(422, [problem]) from None
    if not isinstance(content, dict):
        raise HttpError(422, [_problem("dict_type", ["body"], "Input should be a valid dictionary", content)])
    return content


def _problem(kind: str, place: list[object], message: str, given: object, **more: object) -> dict[str, object]:
    return {"type": kind, "loc": place, "msg": message, "input": given, **more}
