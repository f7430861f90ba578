"""Read compose files: services, with the few keys that the fake needs.

Reads the block style that people write, and JSON. It is no YAML parser: anchors, tags and block scalars stay text.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
ITEM = re.compile(r"^(?P<dash>- +)?(?P<key>\"[^\"]*\"|'[^']*'|[^\s#:\"'\[{][^:#]*):(?:\s+(?P<value>.*))?$")
Line = tuple[int, str]
QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
TABLE_ITEM = re.compile(r"^[\w.-]+:(\s|$)")
VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?:(?P<sign>:?[-?])(?P<other>[^}]*))?\}|(?P<plain>\w+))")
MISSING, MALFORMED = 14, 15
"""exit codes of compose for a missing file, and for an invalid one"""


class FileError(Exception):
    """An unusable compose file; ``code`` is the exit code of compose."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Service:
    """One service, merged from all files."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.image: str | None = None
        self.build = False
        self.checked = False
        """whether it has a health check"""
        self.ports: list[int] = []
        """published ports"""
        self.needs: dict[str, str] = {}
        """other service → condition"""
        self.replicas = 1
        self.text = ""
        """its whole content in the files"""


def find(folder: Path) -> Path:
    """Return the default compose file. Raise ``FileError`` if there is none."""
    for name in NAMES:
        if (folder / name).exists():
            return folder / name
    raise FileError("no configuration file provided: not found", MISSING)


def load(files: list[str], stdin: str) -> dict[str, Service]:
    """Read and merge the files; ``-`` is standard input. Raise ``FileError``."""
    services: dict[str, Service] = {}
    for name in files:
        if name != "-" and not Path(name).exists():
            raise FileError(f"open {Path(name).absolute()}: no such file or directory", MISSING)
        tree = read(stdin if name == "-" else Path(name).read_text(encoding="utf-8"))
        for service, table in (tree.get("services") or {}).items():
            _lay(services.setdefault(service, Service(service)), table if isinstance(table, dict) else {})
    return services


def _lay(service: Service, table: dict[str, Any]) -> None:
    if "image" in table:
        service.image = interpolate(str(table["image"]), service.name)
    service.build |= "build" in table
    service.checked = _is_checked(table["healthcheck"]) if "healthcheck" in table else service.checked
    service.ports += [port for port in map(_published, _list(table.get("ports"))) if port]
    needs = table.get("depends_on") or {}
    service.needs |= (
        {key: str(value.get("condition", "service_started")) for key, value in needs.items() if isinstance(value, dict)}
        if isinstance(needs, dict)
        else {str(key): "service_started" for key in needs}
    )
    service.replicas = int((table.get("deploy") or {}).get("replicas", table.get("scale", service.replicas)))
    service.text += json.dumps(table, sort_keys=True)


def _is_checked(table: Any) -> bool:
    return not (isinstance(table, dict) and str(table.get("disable", "")).lower() == "true")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _published(port: Any) -> int | None:
    text = str(port.get("published", "")) if isinstance(port, dict) else ":".join(str(port).split(":")[:-1])
    last = interpolate(text, "ports").rpartition(":")[2].partition("/")[0]
    return int(last) if last.isdecimal() else None


def interpolate(text: str, where: str) -> str:
    """Substitute variables in ``text`` as compose does. Raise ``FileError`` for a missing required one."""

    def value(found: re.Match[str]) -> str:
        name = found["name"] or found["plain"]
        if name is None:
            return "$"
        given = os.environ.get(name)
        sign = found["sign"] or ""
        if given or (given is not None and not sign.startswith(":")):
            return given
        if sign.endswith("?"):
            why = f"required variable {name} is missing a value: {found['other']}"
            raise FileError(f"error while interpolating services.{where}.image: {why}", MALFORMED)
        return found["other"] or ""

    return VARIABLE.sub(value, text)


def read(text: str) -> dict[str, Any]:
    """Return a document as nested tables. Raise ``FileError``."""
    if text.lstrip().startswith("{"):
        return dict(json.loads(text))
    lines: list[Line] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip(" ").startswith("\t"):
            raise FileError(f"yaml: line {number}: found character that cannot start any token", MALFORMED)
        if line.split("#")[0].strip() in ("", "---"):
            continue
        if lines and _open(lines[-1][1]):
            lines[-1] = (lines[-1][0], f"{lines[-1][1]} {line.strip()}")
        else:
            lines.append((number, line))
    for number, line in lines:
        if _open(line):
            raise FileError(f"yaml: line {number}: did not find expected ',' or ']'", MALFORMED)
    tree, _ = _block(lines, 0)
    return tree if isinstance(tree, dict) else {}


def _open(line: str) -> bool:
    """Return whether a list or table in brackets continues after ``line``."""
    bare = QUOTED.sub("", line.split(" #", maxsplit=1)[0])
    return bare.count("[") + bare.count("{") > bare.count("]") + bare.count("}")


def _block(lines: list[Line], start: int) -> tuple[Any, int]:
    """Read the lines from ``start`` with the same or a deeper indentation. Return them and the index of the rest."""
    indent = _indent(lines[start][1]) if start < len(lines) else 0
    table: dict[str, Any] = {}
    entries: list[Any] = []
    index = start
    listing = start < len(lines) and lines[start][1].strip().startswith("-")
    while index < len(lines) and _indent(lines[index][1]) == indent:
        if lines[index][1].strip().startswith("-") != listing:
            break
        line = lines[index][1].strip()
        found = ITEM.match(line)
        index += 1
        if listing:
            item, index = _item(lines, index, line, indent)
            entries.append(item)
        elif found:
            table[found["key"].strip("\"' ")], index = _value(lines, index, found["value"], indent)
        while index < len(lines) and _indent(lines[index][1]) > indent:
            index += 1
    return (entries or table), index


def _item(lines: list[Line], index: int, line: str, indent: int) -> tuple[Any, int]:
    rest = line[1:].strip()
    found = ITEM.match(rest) if TABLE_ITEM.match(rest) else None
    if found is None:
        return _scalar(rest), index
    table = {found["key"].strip("\"' "): _scalar(found["value"] or "")}
    if index < len(lines) and _indent(lines[index][1]) > indent:
        more, index = _block(lines, index)
        table |= more if isinstance(more, dict) else {}
    return table, index


def _value(lines: list[Line], index: int, text: str | None, indent: int) -> tuple[Any, int]:
    bare = _bare(text or "")
    if bare and not bare.startswith(("&", "|", ">")):
        return _scalar(bare), index
    deeper = index < len(lines) and (
        _indent(lines[index][1]) > indent or (_indent(lines[index][1]) == indent and lines[index][1].strip()[0] == "-")
    )
    return _block(lines, index) if deeper else (None, index)


def _scalar(text: str) -> Any:
    bare = _bare(text)
    if bare.startswith("[") and bare.endswith("]"):
        return [_scalar(part) for part in bare[1:-1].split(",") if part.strip()]
    if bare.startswith("{") and bare.endswith("}"):
        pairs = (part.partition(":") for part in bare[1:-1].split(",") if part.strip())
        return {str(_scalar(key)): _scalar(value) for key, _, value in pairs}
    return bare[1:-1] if bare[:1] in ("'", '"') and len(bare) > 1 and bare[0] == bare[-1] else bare


def _bare(text: str) -> str:
    """Return ``text`` without a comment after it."""
    stripped = text.strip()
    quoted = QUOTED.match(stripped)
    return quoted[0] if quoted else stripped.split(" #", maxsplit=1)[0].strip()


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
