"""JSON Schema of the tables that users write, for editors and validators."""

import ast
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, get_args

import msgspec
from msgspec import Struct, structs

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(table: type[Struct], title: str, meanings: Mapping[type, Sequence[type]]) -> dict[str, Any]:
    """Return the JSON Schema of a document of type ``table``.

    The description of a key is the docstring below its attribute: in its own class, or else in the classes that
    ``meanings`` lists for it.
    """
    (schema,), components = msgspec.json.schema_components([table], ref_template="#/$defs/{name}")
    for each in _tables(table):
        definition = components[each.__name__]
        definition["description"] = _text(inspect.getdoc(each) or "")
        texts = _meanings((each, *meanings.get(each, ())))
        for field in structs.fields(each):
            if field.name in texts:
                definition["properties"][field.encode_name]["description"] = texts[field.name]
    return {"$schema": DIALECT, "title": title, **schema, "$defs": components}


def _tables(kind: Any) -> Iterator[type[Struct]]:
    """Yield the tables that ``kind`` consists of, itself included."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        yield kind
        for field in structs.fields(kind):
            yield from _tables(field.type)
    else:
        for part in get_args(kind):
            yield from _tables(part)


def _meanings(kinds: Iterable[type]) -> dict[str, str]:
    """Return attribute → docstring below it; the first of ``kinds`` that has one takes precedence."""
    found: dict[str, str] = {}
    for kind in kinds:
        (definition,) = ast.parse(inspect.getsource(kind)).body
        assert isinstance(definition, ast.ClassDef)
        for statement, below in pairwise(definition.body):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                match below:
                    case ast.Expr(ast.Constant(str(text))):
                        found.setdefault(statement.target.id, _text(text))
    return found


def _text(docstring: str) -> str:
    """Return ``docstring`` as one line of plain text."""
    plain = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", docstring).replace("``", "`")
    text = " ".join(plain.split())
    return text[:1].upper() + text[1:]
