"""What the schema of Jenkins' xUnit plugin (junit-10) allows, written down as a table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

_RESULT = (frozenset[str](), {"type", "message"}, set[str]())
# element → (children, attributes, attributes that it must have)
_ALLOWED: dict[str, tuple[frozenset[str], set[str], set[str]]] = {
    "testsuites": (frozenset({"testsuite"}), {"name", "time", "tests", "failures", "errors"}, set()),
    "testsuite": (
        frozenset({"testsuite", "properties", "testcase", "system-out", "system-err"}),
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
        {"name", "tests", "failures", "errors"},
    ),
    "testcase": (
        frozenset({"skipped", "error", "failure", "system-out", "system-err"}),
        {"time", "classname", "group"},
        {"name"},
    ),
    "properties": (frozenset({"property"}), set(), set()),
    "property": (frozenset(), set(), {"name", "value"}),
    "failure": _RESULT,
    "error": _RESULT,
    "skipped": _RESULT,
    "system-out": (frozenset(), set(), set()),
    "system-err": (frozenset(), set(), set()),
}
_TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")


def problems(root: Element) -> list[str]:
    """Return what a validator would say; nothing for a file that Jenkins takes."""
    return [problem for element in root.iter() for problem in _problems(element)]


def _problems(element: Element) -> Iterator[str]:
    if element.tag not in _ALLOWED:
        yield f"{element.tag} is unknown"
        return
    children, optional, required = _ALLOWED[element.tag]
    names = set(element.attrib)
    yield from (f"{element.tag} lacks {name}" for name in required - names)
    yield from (f"{element.tag} has {name}" for name in names - required - optional)
    yield from (f"{element.tag} holds {child.tag}" for child in element if child.tag not in children)
    if not _TIME.fullmatch(element.get("time", "")):
        yield f"{element.tag} takes {element.get('time')}"
