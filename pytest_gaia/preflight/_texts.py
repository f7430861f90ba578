"""Every text of a file that could hold a credential, with its place: values, and comments."""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pytest_gaia.config.deployfiles.model import App, Source
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight._workflows.model import Workflow
from pytest_gaia.preflight.standing import standing

_SETTING = re.compile(
    r"^[ \t]*(?:export[ \t]+)?[\"']?(?P<name>\w{1,99})[\"']?[ \t]*[=:][ \t]*(?P<value>\S[^\n]*)", re.MULTILINE
)
_VARIABLES = frozenset({"env", "environment", "args", "headers", "labels"})
"""tables whose keys are names of variables, or of headers"""


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a file."""

    value: str
    place: Place
    name: str = ""
    """the key that it is the value of"""
    is_variable: bool = False
    """whether the key is the name of a variable that a process gets"""
    is_comment: bool = False


def app_texts(app: App, source: Source) -> Iterator[Text]:
    """Yield the values of the part of the file that is about ``app``, files written by it decoded, then the comments of the file."""
    for step, value in _leaves(app.document):
        yield _text(step, value, standing(app, *step), listed=source == "compose")
    for number, each in enumerate(_tables(app.document.get("files"))):
        yield from _written_file(each, standing(app, f"files[{number}]", "raw_value"))
    file = app.place().file
    for line, comment in app.comments.items():
        yield Text(comment, Place(file, line), is_comment=True)


def _tables(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _written_file(table: dict[str, Any], place: Place) -> Iterator[Text]:
    """Yield what Fly writes into a file of the machine: as the value of the file's name, and what its lines set."""
    try:
        text = base64.b64decode(str(table.get("raw_value", "")), validate=True).decode(errors="replace")
    except binascii.Error:
        return
    if text:
        name = str(table.get("guest_path", "")).rpartition("/")[2]
        yield Text(text, place, name, is_variable=True)
        for found in _SETTING.finditer(text):
            yield Text(found["value"].strip("\"'"), place, found["name"], is_variable=True)


def _text(step: tuple[str, ...], value: str, place: Place, *, listed: bool) -> Text:
    """Return ``value`` as a text; where variables may be ``listed``, ``NAME=value`` is one."""
    name = step[-1].partition("[")[0] if step else ""
    if listed and name == "environment":
        name, _, rest = value.partition("=")
        return Text(rest, place, name, is_variable=True)
    return Text(value, place, name, is_variable=bool(_VARIABLES & set(step[:-1])))


def workflow_texts(workflow: Workflow) -> Iterator[Text]:
    """Yield the variables of ``workflow``, then each of its lines."""
    for variable in workflow.variables:
        yield Text(variable.value, variable.place, variable.name, is_variable=True)
    for line, text in enumerate(workflow.lines, start=1):
        yield Text(text, Place(workflow.file, line), is_comment=text.lstrip().startswith("#"))


def _leaves(node: Any, step: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield (key part by part, text) of every value below ``node``; elements of lists carry their numbers."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, (*step, str(key)))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _leaves(value, (*step[:-1], f"{step[-1]}[{number}]") if step else step)
    elif isinstance(node, str):
        yield step, node
