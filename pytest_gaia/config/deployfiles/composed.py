"""Ask Docker Compose for the project of a folder: all of its files merged, variables replaced, only active services.

Compose decides which files these are: an override file, ``COMPOSE_FILE``, ``include`` and ``extends``, and it reads ``.env``
and ``env_file``. Its output has no lines, so they come from the files.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from pytest_gaia.config.deployfiles.compose import file_app, read_apps
from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.config.deployfiles.values import Table, interpolated, is_open, written_out
from pytest_gaia.config.platform import Platform
from pytest_gaia.config.variables import passed_on
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.toml import Place, nearest_place
from pytest_gaia.files.yaml import read_yaml, yaml_comments
from pytest_gaia.secrets.redaction import masker
from pytest_gaia.system.processes import completed

_COMMAND = ("compose", "config", "--format", "json")
_SECONDS = 30.0
"""time limit; an `include` may be remote"""
_UNUSABLE = re.compile(
    r"is not a docker command|unknown command|unknown (?:shorthand )?flag|unable to resolve docker endpoint",
    re.IGNORECASE,
)
"""Docker without a usable `compose`, or with a broken configuration of its own"""
_NOT_RUN = (125, 126, 127)
_WARNING = re.compile(r'time="|WARN\[')


@dataclass(frozen=True, slots=True)
class Composed:
    """The project, as Compose prints it."""

    name: str
    apps: tuple[App, ...]
    top: Table
    """all of it"""
    others: tuple[App, ...]
    """files that no service begins in, each as one app"""


class _File(NamedTuple):
    path: Path
    name: str
    text: str
    document: Mapping[str, Any]
    places: Mapping[str, Place]
    comments: Mapping[int, str]
    problem: str = ""
    """why it cannot be read, with its line"""


def ask(
    folder: Path, files: Sequence[Path], environment: str, platform: Platform, read: Callable[[Path], tuple[str, str]]
) -> Composed | None:
    """Return the project in ``folder`` as Compose sees it; None if there is no usable Compose.

    ``files`` are the files that Compose begins with. ``read`` returns the text of a file and its name for messages.

    Raises ``ConfigError`` with the words of Compose, and with file, line and key if they are known, for a project that
    Compose refuses.
    """
    docker = shutil.which("docker")
    if docker is None:
        return None
    try:
        done = completed(
            [docker, *_COMMAND],
            environ=passed_on(os.environ, environment, ends=platform.variable_ends),
            cwd=folder,
            seconds=_SECONDS,
        )
    except OSError:
        return None
    except subprocess.TimeoutExpired:
        raise ConfigError(f"docker compose config: exceeded its time limit of {_SECONDS:g} s in {folder}.") from None
    said = _sentence(done.stderr.decode(errors="replace"))
    if done.returncode in _NOT_RUN or (done.returncode and _UNUSABLE.search(said)):
        return None
    found = list(_followed(files, read, set()))
    if done.returncode:
        place = _located(said, found)
        raise ConfigError(f"{place}: {said}" if place else said)
    return _read(done.stdout, found, files[0], environment, platform)


def _sentence(output: str) -> str:
    lines = (line.strip() for line in output.splitlines() if not _WARNING.match(line))
    text = " ".join(line for line in lines if line).rstrip(".") or "no output"
    return f"docker compose config: {masker()(text)}."


def _read(output: bytes, files: Sequence[_File], path: Path, environment: str, platform: Platform) -> Composed | None:
    try:
        given = json.loads(output)
    except ValueError:
        given = None
    if not isinstance(given, dict) or not isinstance(given.get("services") or {}, dict):
        return None
    # It doubles each `$` of a value, as in a file.
    document: dict[str, Any] = interpolated(given, {})
    services: dict[str, Any] = document.get("services") or {}
    written = dict.fromkeys(name for file in files for name, _ in _tables(file.document) if name in services)
    # Compose sorts them by name.
    services = document["services"] = {name: services[name] for name in written | services}
    main = next(each for each in files if each.path == path)
    unknown = dict.fromkeys((f"services.{name}" for name in services), Place(main.name, 1))
    own = {key: place for key, place in main.places.items() if not key.startswith("services.")}
    top = Table(main.name, document, unknown | _places(files, services) | own)
    tables = map(top.table("services").table, services)
    comments = {each.name: each.comments for each in files}
    apps = read_apps(top, tables, comments, path=path, environment=environment, platform=platform)
    literal = _literal(files)
    apps = tuple(replace(app, withheld=frozenset(app.env) - literal.get(app.name, set())) for app in apps)
    heads = {app.place().file for app in apps}
    others = tuple(
        file_app(each.text, each.path, each.name, environment=environment)
        for each in files
        if each.name not in heads and not each.problem
    )
    return Composed(str(document.get("name", "")), apps, top, others)


def _followed(paths: Iterable[Path], read: Callable[[Path], tuple[str, str]], seen: set[Path]) -> Iterator[_File]:
    """Yield the files at ``paths``, and those that they include or extend, which come before them as they do in a merge."""
    for path in paths:
        if path.resolve() in seen:
            continue
        seen.add(path.resolve())
        try:
            text, name = read(path)
            document, places = read_yaml(text, name)
        except ConfigError as problem:
            yield _File(path, path.name, "", {}, {}, {}, str(problem))
            continue
        tree = document if isinstance(document, dict) else {}
        others = (path.parent / each for each in _named_in(tree))
        yield from _followed([each for each in others if each.is_file()], read, seen)
        yield _File(path, name, text, tree, places, yaml_comments(text))


def _named_in(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the files that ``document`` includes or extends."""
    included = document.get("include")
    for each in included if isinstance(included, list) else ():
        paths = each.get("path") if isinstance(each, dict) else each
        yield from map(str, paths if isinstance(paths, list) else [paths])
    for _, table in _tables(document):
        if (parent := _parent(table))[0]:
            yield parent[0]


def _literal(files: Iterable[_File]) -> dict[str, set[str]]:
    """Return service → names of its variables whose values are in the files; others are in ``env_file`` or in a shell."""
    found: dict[str, set[str]] = {}
    for file in files:
        for service, table in _tables(file.document):
            given = table.get("environment")
            if isinstance(given, list):
                given = {name: text if equals else None for name, equals, text in map(_partition, given)}
            own = given if isinstance(given, dict) else {}
            here = {str(name) for name, value in own.items() if value is not None and not is_open(written_out(value))}
            below = found.get(service, found.get(_parent(table)[1], set()))
            found[service] = below - set(map(str, own)) | here
    return found


def _partition(entry: object) -> tuple[str, str, str]:
    return written_out(entry).partition("=")


def _parent(table: Mapping[str, Any]) -> tuple[str, str]:
    """Return file and service that a service extends; empty strings for none."""
    given = table.get("extends")
    if isinstance(given, dict):
        return str(given.get("file") or ""), str(given.get("service") or "")
    return "", str(given or "")


def _tables(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    services = document.get("services")
    for name, table in services.items() if isinstance(services, dict) else ():
        if isinstance(table, dict):
            yield str(name), table


def _places(files: Sequence[_File], services: Mapping[str, Any]) -> dict[str, Place]:
    """Return key in the merged project → its place. A table is where it first is; of a value, the last file counts."""
    found: dict[str, Place] = {}
    for file in files:
        found |= {
            key: place for key, place in file.places.items() if not key.startswith("services.") and key not in found
        }
        for name, table in _tables(file.document):
            head, parent = f"services.{name}", _parent(table)[1]
            inherited = _below({**file.places, **found}, f"services.{parent}", head) if parent else {}
            first = {head: found[head]} if head in found else {}
            found |= inherited | _own_places(file, name, table) | first
    for name, merged in services.items():
        found |= _port_places(files, name, merged)
    return found


def _below(places: Mapping[str, Place], old: str, new: str) -> dict[str, Place]:
    """Return the places below the key ``old``, as keys below ``new``."""
    return {new + key[len(old) :]: place for key, place in places.items() if key.startswith((f"{old}.", f"{old}["))}


def _own_places(file: _File, name: str, table: Mapping[str, Any]) -> dict[str, Place]:
    """Return the places of a service under the keys that they have in the merged project, where lists of names are tables."""
    own = f"services.{name}"
    found = {own: file.places[own]} if own in file.places else {}
    found |= _below(file.places, own, own)
    for key in ("environment", "depends_on", "labels"):
        entries = table.get(key)
        for number, entry in enumerate(entries if isinstance(entries, list) else ()):
            place = found.pop(f"{own}.{key}[{number}]", None)
            word = written_out(entry).partition("=")[0]
            if place is not None:
                found[f"{own}.{key}.{word}"] = Place(place.file, place.line, f"{place.key}.{word}")
    return {key: place for key, place in found.items() if not key.startswith(f"{own}.ports[")}


def _port_places(files: Sequence[_File], name: str, merged: Mapping[str, Any]) -> dict[str, Place]:
    """Return the places of the ports of ``merged``, which are matched by the port in the container.

    A published port that depends on a variable without a value gets the text in its file.
    """
    sources = [
        (entry, file.places.get(f"services.{name}.ports[{number}]"))
        for file in files
        for each, table in _tables(file.document)
        if each == name and isinstance(table.get("ports"), list)
        for number, entry in enumerate(table["ports"])
    ]
    found: dict[str, Place] = {}
    taken: list[int] = []
    for number, port in enumerate(merged.get("ports") or ()):
        target = port.get("target")
        fitting = [(entry, place) for entry, place in sources if place is not None and target in _targets(entry)]
        exact = [each for each in fitting if str(port.get("published")) in re.split(r"[:/]", _published(each[0]))]
        if fitting:
            at = min(taken.count(target), len(fitting) - 1)
            entry, found[f"services.{name}.ports[{number}]"] = exact[0] if exact else fitting[at]
            if not port.get("published") and is_open(_published(entry)):
                port["published"] = _published(entry)
        taken.append(target)
    return found


def _published(entry: Any) -> str:
    """Return an entry of ``ports`` in the short form, or the published port in its long form."""
    return written_out(entry.get("published") if isinstance(entry, dict) else entry)


def _targets(entry: Any) -> range:
    """Return the ports in the container of an entry of ``ports``; none if they depend on a variable."""
    text = written_out(entry.get("target") if isinstance(entry, dict) else entry).partition("/")[0].rpartition(":")[2]
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1) if first.isdecimal() and (last or first).isdecimal() else range(0)


_KEY = re.compile(r"\bservices(?:\.[\w-]+)+")
_EXTRA = re.compile(r"additional propert(?:y|ies) '?([\w-]+)'? (?:is |are )?not allowed", re.IGNORECASE)
_SERVICE = re.compile(r'service "([^"]+)"(?:.*?(?:service "|undefined \w+ "?)([\w.-]+))?')
_FILE = re.compile(r"(?:env file|open|stat) \S*?([^/\s]+)(?: not found|:)")
_PORT = re.compile(r"invalid \w*port: \"?([\w-]+)", re.IGNORECASE)


def _located(said: str, files: Sequence[_File]) -> str:
    """Return the place that a message of Compose is about; without one, the only file, or else nothing."""
    for file in files:
        if file.problem and (line := re.match(r".*?:\d+(?=: )", file.problem)):
            return line[0]
    found = (_find(file, *what) for what in _subjects(said) for file in files)
    return next((str(place) for place in found if place is not None), files[0].name if len(files) == 1 else "")


def _subjects(said: str) -> Iterator[tuple[str, str]]:
    """Yield the keys that a message is about, and words below them, the most exact ones first."""
    key, extra = _KEY.search(said), _EXTRA.search(said)
    if key:
        yield from ((key[0], extra[1]),) if extra else ()
        yield key[0], ""
    if service := _SERVICE.search(said):
        yield from ((f"services.{service[1]}", service[2]),) if service[2] else ()
        yield f"services.{service[1]}", ""
    for pattern, below in ((_FILE, ""), (_PORT, "services")):
        if match := pattern.search(said):
            yield below, match[1]


def _find(file: _File, key: str, word: str) -> Place | None:
    if not word:
        place = nearest_place(file.places, tuple(key.split(".")))
        return None if place is None or place.key == "services" else place
    for step, text in _leaves(file.document, ""):
        if (not key or step.startswith(f"{key}.")) and (step.endswith(f".{word}") or word in re.split(r"[/:\s]", text)):
            return file.places.get(step)
    return None


def _leaves(value: Any, step: str) -> Iterator[tuple[str, str]]:
    """Yield (key, text) of every value in ``value``, tables included, whose text is empty."""
    if isinstance(value, dict):
        for key, each in value.items():
            below = f"{step}.{key}" if step else str(key)
            yield below, ""
            yield from _leaves(each, below)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _leaves(each, f"{step}[{number}]")
    else:
        yield step, written_out(value)
