"""The project of compose files as ``docker compose config --format json`` prints it, with the keys that Gaia reads.

Written after Compose 2.26: files merged, variables replaced, profiles left out, and each key in its long form.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from .compose_file import MISSING, FileError, interpolate, read

REPLACED = ("command", "entrypoint", "test")
NUMBERS = ("replicas", "scale", "retries")


def services(files: list[str], stdin: str) -> dict[str, Any]:
    """Return service → its table. Raise ``FileError``."""
    merged: dict[str, Any] = {}
    for name in files:
        tree = read(stdin if name == "-" else Path(name).read_text(encoding="utf-8"))
        tables = tree.get("services") or {}
        merged = _merge(merged, {each: _long(_resolve(table or {}, each)) for each, table in tables.items()})
    active = {part for part in os.environ.get("COMPOSE_PROFILES", "").split(",") if part}
    return {
        name: {"command": None, "entrypoint": None, **table, "networks": {"default": None}}
        for name, table in sorted(merged.items())
        if not table.get("profiles") or "*" in active or active & set(table["profiles"])
    }


def _merge(below: Any, above: Any, key: str = "") -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {
            each: _merge(below[each], value, each) if each in below else value for each, value in above.items()
        }
    if isinstance(below, list) and isinstance(above, list) and key not in REPLACED:
        return [*below, *(each for each in above if each not in below)]
    return above


def _resolve(value: Any, where: str) -> Any:
    """Replace variables; a `$` that is left is doubled again, as in the output of Compose."""
    if isinstance(value, dict):
        return {key: _resolve(each, where) for key, each in value.items()}
    if isinstance(value, list):
        return [_resolve(each, where) for each in value]
    return interpolate(value, where).replace("$", "$$") if isinstance(value, str) else value


def _long(table: dict[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in table.items() if value is not None}
    if isinstance(own.get("build"), str):
        own["build"] = {"context": str((Path.cwd() / own["build"]).resolve()), "dockerfile": "Dockerfile"}
    if "env_file" in own:
        files = own.pop("env_file")
        own["environment"] = _variables_in(files if isinstance(files, list) else [files]) | _environment(table)
    elif "environment" in own:
        own["environment"] = _environment(table)
    if "ports" in own:
        own["ports"] = [port for each in own["ports"] for port in _ports(each)]
    if "depends_on" in own:
        own["depends_on"] = _needs(own["depends_on"])
    if isinstance(own.get("command"), str):
        own["command"] = shlex.split(own["command"])
    if isinstance(own.get("healthcheck"), dict):
        own["healthcheck"] = _health_check(own["healthcheck"])
    return {key: _numbers(key, value) for key, value in own.items()}


def _numbers(key: str, value: Any) -> Any:
    if isinstance(value, dict) and key in ("deploy", "healthcheck"):
        return {each: _numbers(each, found) for each, found in value.items()}
    return int(value) if key in NUMBERS and isinstance(value, str) and value.isdecimal() else value


def _environment(table: dict[str, Any]) -> dict[str, str | None]:
    given = table.get("environment")
    if isinstance(given, dict):
        return {name: None if value in (None, "", "~") else str(value) for name, value in given.items()}
    pairs = (str(each).partition("=") for each in given or ())
    return {name: value if equals else os.environ.get(name) for name, equals, value in pairs}


def _variables_in(files: list[Any]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for each in files:
        path = Path(each["path"] if isinstance(each, dict) else each)
        if not path.exists():
            why = f"env file {path.absolute()} not found: stat {path.absolute()}: no such file or directory"
            raise FileError(why, MISSING)
        lines = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines() if "=" in line)
        found |= {name.strip(): value.strip() for name, _, value in lines if not name.startswith("#")}
    return found


def _ports(entry: Any) -> list[dict[str, Any]]:
    if isinstance(entry, dict):
        port = {"mode": "ingress", **entry, "target": int(entry["target"]), "protocol": entry.get("protocol", "tcp")}
        return [port | ({"published": str(entry["published"])} if "published" in entry else {})]
    text, _, protocol = str(entry).partition("/")
    rest, _, target = text.rpartition(":")
    host, _, published = rest.rpartition(":")
    inside, outside = _range(target), _range(published)
    single = len(inside) == 1 and len(outside) > 1
    return [
        {"mode": "ingress"}
        | ({"host_ip": host.strip("[]")} if host else {})
        | {"target": port}
        | ({"published": published if single else str(outside[number])} if published else {})
        | {"protocol": protocol or "tcp"}
        for number, port in enumerate(inside)
    ]


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1) if first else range(0)


def _needs(given: Any) -> dict[str, dict[str, Any]]:
    tables = given if isinstance(given, dict) else {str(name): {} for name in given}
    return {
        name: {"condition": "service_started", "required": True} | (table if isinstance(table, dict) else {})
        for name, table in tables.items()
    }


def _health_check(table: dict[str, Any]) -> dict[str, Any]:
    test = table.get("test")
    found = table | ({"test": ["CMD-SHELL", test]} if isinstance(test, str) else {})
    return found | ({"disable": True} if str(table.get("disable", "")).lower() == "true" else {})
