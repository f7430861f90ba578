"""Validation of request bodies and queries, with FastAPI's responses for errors (422)."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pytest_gaia.sandbox._services.app import HttpError, Request


class Field(NamedTuple):
    """The rule for a field: its ``types``, and optional ``choices``."""

    types: tuple[type, ...]
    word: str
    optional: bool = False
    choices: tuple[str, ...] = ()
    longest: int | None = None

    def problem(self, value: object) -> dict[str, object] | None:
        """Return the problem with a value as FastAPI reports it, or None."""
        if value is None and self.optional:
            return None
        if self.choices and value not in self.choices:
            return _choice_problem(self.choices)
        if not isinstance(value, self.types) or (isinstance(value, bool) and bool not in self.types):
            return {"type": f"{self.word}_type", "msg": f"Input should be a valid {self.word}"}
        if self.longest and isinstance(value, str) and len(value) > self.longest:
            limit = {"max_length": self.longest}
            return {
                "type": "string_too_long",
                "msg": f"String should have at most {self.longest} characters",
                "ctx": limit,
            }
        return None


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
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise HttpError(422, [_problem("int_parsing", ["query", name], message, text)]) from None


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
