"""Read the services of a compose file, with their ports and health checks.

The file is read as it is only for checks and without Docker; otherwise ``composed`` has the project. The value of ``${NAME:-default}`` is the default, or the value in a committed ``.env`` next to the file; variables of the shell
do not apply. Services in a profile are skipped, as ``docker compose up`` does.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_gaia.config.deployfiles.model import COMPLETED, App, Check, Served, kind_of, kind_of_image
from pytest_gaia.config.deployfiles.read import COMPOSE_ENVIRONMENT, service_name
from pytest_gaia.config.deployfiles.values import (
    Table,
    committed_variables,
    interpolated,
    is_open,
    shown_type,
    without_variables,
    written_out,
)
from pytest_gaia.config.platform import Platform
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.toml import Place, read_text
from pytest_gaia.files.yaml import read_yaml, yaml_comments
from pytest_gaia.printable import one_line

_BYTE = 1 / (1024 * 1024)

_OPEN = "?"
"""placeholder for a variable without a value"""
_SHORT = re.compile(
    r"(?:(?P<host>\[[0-9A-Fa-f:]+\]|[0-9]+(?:\.[0-9]+){3}|\?(?=:[^:]*:)):)?(?:(?P<published>[0-9?-]*):)?(?P<target>[0-9?-]+)"
    r"(?:/(?P<protocol>tcp|udp|\?))?"
)
_LAST_PORT = 65535


def apps_of(text: str, path: Path, name: str, *, environment: str, platform: Platform) -> tuple[App, ...]:
    """Return the services of the compose file at ``path``, which holds ``text``; messages and places call it ``name``.

    Raises ``ConfigError`` that names file, line and key for a file that cannot be understood.
    """
    top = top_of(text, path, name)
    comments = {name: yaml_comments(text)}
    return read_apps(top, started(top), comments, path=path, environment=environment, platform=platform)


def read_apps(
    top: Table,
    tables: Iterable[Table],
    comments: Mapping[str, Mapping[int, str]],
    *,
    path: Path,
    environment: str,
    platform: Platform,
) -> tuple[App, ...]:
    """Return the services ``tables`` of the project ``top``. ``comments`` are those of each file, by line."""
    found = {table.step[-1]: table for table in tables}
    images = {unit: table.text("image") or "" for unit, table in found.items()}
    names = _service_names(images, platform, environment)
    apps = [
        _app(
            table,
            names,
            platform,
            path=path,
            environment=environment,
            comments=comments.get(table.place().file, {}),
            project=top.values,
        )
        for table in found.values()
    ]
    ending = waited_for(top.table("services").values)
    return tuple(
        # Of a declared service, only its own key counts.
        replace(app, once=platform[app.service].once if app.service in platform else app.name in ending)
        for app in apps
    )


def top_of(text: str, path: Path, name: str) -> Table:
    """Return the compose file at ``path``, which holds ``text``, with the values of variables. Raises ``ConfigError``."""
    document, places = _document(text, name)
    variables = committed_variables(path.parent) if "$" in text else {}
    return Table(name, interpolated(document, variables), places, interpolated=True)


def started(top: Table) -> list[Table]:
    """Return the services that ``docker compose up`` starts."""
    services = top.table("services")
    return [table for table in map(services.table, services.values) if not table.list("profiles")]


def every_app(path: Path, name: str, variables: Mapping[str, str], override: Path | None = None) -> tuple[App, ...]:
    """Return every service of the compose file at ``path``, also those of a profile, under the names that they have there.

    The override file ``override`` is merged, as Compose does. Raises ``ConfigError`` with file, line and key for a file that
    cannot be understood, or that has no services.
    """
    document, places = _document(read_text(path, name), name)
    if override is not None:
        document = _merged(document, _document(read_text(override, override.name), override.name)[0])
    top = Table(name, interpolated(document, variables), places, interpolated=True)
    services = top.table("services")
    if not services.values:
        raise top.error("services", f"the file describes no service under this key.{elsewhere(top.values)}")
    tables = [services.table(each) for each in services.values]
    names = {each: each for each in services.values}
    own: dict[str, Any] = {"path": path, "environment": COMPOSE_ENVIRONMENT, "comments": {}, "project": top.values}
    return tuple(_app(table, names, Platform(), **own) for table in tables)


def _document(text: str, name: str) -> tuple[dict[str, Any], dict[str, Place]]:
    document, places = read_yaml(text, name)
    if not isinstance(document, dict):
        raise ConfigError(f"{name}:1: expected a compose file with the key `services`, got {shown_type(document)}.")
    return document, places


_REPLACED = ("command", "entrypoint", "test")
"""lists that an override file replaces; it adds to others"""


def _merged(below: Any, above: Any, key: str = "") -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {each: _merged(below.get(each), value, each) for each, value in above.items()}
    if isinstance(below, list) and isinstance(above, list) and key not in _REPLACED:
        return [*below, *above]
    return above


def file_app(text: str, path: Path, name: str, *, environment: str) -> App:
    """Return a file of a project as one app, only with its texts and comments."""
    document, places = read_yaml(text, name)
    return App(
        service=name,
        environment=environment,
        form="service",
        name=name,
        path=path,
        places=places | {"app": Place(name, 1)},
        comments=yaml_comments(text),
        document=document if isinstance(document, dict) else {},
    )


def waited_for(services: Mapping[str, Any]) -> frozenset[str]:
    """Return those of ``services``, the table of a compose file, that others wait for until they succeed.

    A restart policy does not show what runs only once: a server that ends with exit code 0 has stopped serving.
    """
    needs = (conditions(each.get("depends_on")) for each in services.values() if isinstance(each, dict))
    return frozenset(other for each in needs for other, condition in each.items() if condition == COMPLETED)


def conditions(depends_on: object) -> dict[str, str]:
    """Return dependency → condition to wait for; empty without one."""
    if isinstance(depends_on, list):
        return dict.fromkeys(map(str, depends_on), "")
    tables = depends_on.items() if isinstance(depends_on, dict) else ()
    return {str(name): str(each.get("condition", "")) if isinstance(each, dict) else "" for name, each in tables}


def _app(
    table: Table,
    names: Mapping[str, str],
    platform: Platform,
    *,
    path: Path,
    environment: str,
    comments: Mapping[int, str],
    project: Mapping[str, Any],
) -> App:
    environ, environ_places = _environment(table)
    image, dockerfile = _image_and_dockerfile(table)
    return App(
        service=names[table.step[-1]],
        environment=environment,
        form="service",
        name=table.step[-1],
        path=path,
        kind=kind_of(names[table.step[-1]], image, platform),
        image=image,
        dockerfile=dockerfile,
        env=environ,
        served=_served_ports(table, _health_check(table)),
        memory_mb=_memory(table),
        depends_on=tuple(
            names.get(each) or service_name(each, platform, "compose", environment)
            for each in table.names("depends_on")
        ),
        waits_for=conditions(table.values.get("depends_on")),
        places=_own_places(table, environ_places),
        comments=comments,
        document=table.values,
        project=project,
    )


def _service_names(images: Mapping[str, str], platform: Platform, environment: str) -> dict[str, str]:
    """Return unit → service: by its name, or else the only service of the kind that the server in its image has."""
    names = {unit: service_name(unit, platform, "compose", environment) for unit in images}
    for unit, image in images.items():
        kind = kind_of_image(image)
        same = platform.of_kind(kind) if kind else ()
        is_known = names[unit] in platform or len(same) != 1 or same[0] in names.values()
        if not is_known and "compose" not in platform[same[0]].units:
            names[unit] = same[0]
    return names


def none_declared(top: Table, platform: Platform, *, hidden: bool) -> ConfigError:
    """Return the error for a project without a service of ``platform``; ``hidden``: there are services of other profiles."""
    services = top.table("services").values
    there = ", ".join(map(one_line, services)) or "none"
    declared = f"; declared: {', '.join(platform.usual)}" if platform.usual else ""
    profiles = " Services of a profile do not count." if hidden else ""
    return top.error(
        "services",
        f"none of them is declared in gaia.toml (found: {there}{declared}). Add [services.NAME] for those to test; "
        f"`gaia init` writes them.{profiles}{elsewhere(top.values)}",
    )


def elsewhere(document: Mapping[str, Any]) -> str:
    """Return a sentence about parts of the project that are not read, after a space; empty without any."""
    services = document.get("services")
    tables = services.values() if isinstance(services, dict) else ()
    extending = any(isinstance(each, dict) and "extends" in each for each in tables)
    keys = [*(["include"] if "include" in document else []), *(["extends"] if extending else [])]
    return f" Without Compose, gaia does not read {' and '.join(f'`{key}`' for key in keys)}." if keys else ""


def _environment(table: Table) -> tuple[dict[str, str], dict[str, Place]]:
    """Return the variables, from a table or a list of ``NAME=value``, and their places.

    A variable without a value comes from the user's shell, and is left out.
    """
    given = table.values.get("environment")
    if not isinstance(given, list):
        values = table.texts("environment")
        known = {name: value for name, value in values.items() if table.table("environment").values[name] is not None}
        return known, {name: table.place("environment", name) for name in known}
    found: dict[str, str] = {}
    places: dict[str, Place] = {}
    for number, entry in enumerate(given):
        name, equals, value = written_out(entry).partition("=")
        if equals:
            line = table.place(f"environment[{number}]")
            found[name] = value
            places[name] = Place(line.file, line.line, f"{line.key}.{name}")
    return found, places


def _image_and_dockerfile(table: Table) -> tuple[str | None, str | None]:
    build = table.values.get("build")
    if build is None:
        return table.text("image"), None
    if isinstance(build, str):
        return table.text("image"), f"{build.rstrip('/')}/Dockerfile"
    return table.text("image"), table.table("build").text("dockerfile") or "Dockerfile"


def _memory(table: Table) -> int | None:
    limits = table.table("deploy").table("resources").table("limits")
    found = limits.megabytes("memory", bare=_BYTE)
    return found if found is not None else table.megabytes("mem_limit", bare=_BYTE)


def _own_places(table: Table, environ: Mapping[str, Place]) -> dict[str, Any]:
    """Return the places of this service, and those of ``app`` and ``env.NAME``, as in a file for Fly."""
    own = ".".join(table.step)
    # Keys of the file itself are those of the project.
    places = {
        key: place
        for key, place in table.places.items()
        if key == own or key.startswith((f"{own}.", f"{own}[")) or (key != "services" and key.isidentifier())
    }
    # That of the service comes first, since it is the place of the app.
    return (
        {own: table.place()}
        | places
        | {"app": table.place()}
        | {f"env.{name}": place for name, place in environ.items()}
    )


def _served_ports(service: Table, check: Check | None) -> tuple[Served, ...]:
    """Return the ports of ``service``, with its health check on the port that it uses, or else on the first.

    Compose waits for the health of containers without ports, too, so their check gets an entry of its own.
    """
    served = [*_published(service), *_exposed(service)]
    if check is None:
        return tuple(served)
    owner = next((at for at, each in enumerate(served) if check.port in (None, each.internal_port)), None)
    if owner is None:
        kind = "http" if check.kind == "http" else "tcp"
        ports = (check.port,) if check.port and _is_on_host(service) else ()
        return (*served, _served(service, "expose", check.place, check.port, ports, kind, checks=(check,)))
    protocol = "http" if check.kind == "http" else served[owner].protocol
    served[owner] = replace(served[owner], checks=(check,), protocol=protocol)
    return tuple(served)


def _is_on_host(service: Table) -> bool:
    """Whether ``service`` listens on ports of the host."""
    return service.text("network_mode") == "host"


def _published(service: Table) -> list[Served]:
    found = []
    for number, entry in enumerate(service.list("ports")):
        key = f"ports[{number}]"
        if isinstance(entry, dict):
            found += _long(service.below(entry, key), service)
        else:
            found += _short(service, key, written_out(entry))
    return found


def _short(service: Table, key: str, text: str) -> list[Served]:
    """Return the ports of ``[HOST:][PUBLISHED:]TARGET[/PROTOCOL]``; each part may be a range, or unknown."""
    match = _SHORT.fullmatch(without_variables(text, _OPEN))
    if match is None:
        raise service.error(key, f'expected ports, such as "8666:8000", got {text!r}.')
    place, protocol = service.place(key), (match["protocol"] or "tcp").replace(_OPEN, "tcp")
    if _OPEN in match["target"]:
        return [_served(service, "ports", place, None, (), protocol, open_port=text)]
    targets = _range(service, key, match["target"])
    open_port = text if _OPEN in (match["published"] or "") else ""
    published = _range(service, key, match["published"]) if match["published"] and not open_port else []
    if published and len(targets) not in (1, len(published)):
        raise service.error(key, f"{text!r}: the two ranges of ports have different lengths.")
    if len(targets) == 1:
        pairs = [(targets[0], tuple(published))]
    else:
        pairs = [(target, tuple(published[at : at + 1])) for at, target in enumerate(targets)]
    return [_served(service, "ports", place, target, ports, protocol, open_port=open_port) for target, ports in pairs]


def _long(port: Table, service: Table) -> list[Served]:
    target = port.whole("target")
    if port.values.get("target") is None:
        raise port.error("target", "the port of the container is missing.")
    published = written_out(port.values.get("published"))
    open_port = published if is_open(published) else ""
    ports = tuple(_range(port, "published", published)) if published and not open_port else ()
    protocol = port.choice("protocol", ("tcp", "udp")) or "tcp"
    return [_served(service, "ports", port.place(), target, ports, protocol, open_port=open_port)]


def _exposed(service: Table) -> list[Served]:
    found = []
    for number, entry in enumerate(service.list("expose")):
        key = f"expose[{number}]"
        text, _, protocol = written_out(entry).partition("/")
        place = service.place(key)
        if is_open(text):
            found.append(_served(service, "expose", place, None, (), protocol or "tcp"))
            continue
        for port in _range(service, key, text):
            ports = (port,) if _is_on_host(service) else ()
            found.append(_served(service, "expose", place, port, ports, protocol or "tcp"))
    return found


def _range(table: Table, key: str, text: str) -> list[int]:
    first, dash, last = text.partition("-")
    if not (first.isdigit() and (last.isdigit() or not dash)):
        raise table.error(key, f'expected ports, such as "8666:8000", got {text!r}.')
    start, end = int(first), int(last or first)
    if not start <= end <= _LAST_PORT:
        raise table.error(key, f"{text!r} is not a range of ports.")
    return list(range(start, end + 1))


def _served(
    service: Table,
    kind: str,
    place: Place,
    target: int | None,
    ports: tuple[int, ...],
    protocol: str,
    checks: tuple[Check, ...] = (),
    open_port: str = "",
) -> Served:
    replicas = service.table("deploy").whole("replicas")
    return Served(
        kind="ports" if kind == "ports" else "expose",
        internal_port=target,
        protocol=protocol,
        # Port 0 means any free port.
        ports=tuple(port for port in ports if port),
        force_https=False,
        autostop=None,
        autostart=None,
        min_machines=replicas if replicas is not None else service.whole("scale"),
        checks=checks,
        place=place,
        open_port=open_port,
    )


_SECOND = 1.0
_ASKED = re.compile(
    r"https?://(?:\$\{[^}]*\}|[^/\s:'\"])+(?::(?:(?P<port>\d{1,5})|\$\{[^}]*\}|\$\w+))?(?P<path>/[^\s'\"|;)]*)?"
)
"""a URL in the command of a health check; host and port may be shell variables"""


def _health_check(service: Table) -> Check | None:
    """Return the health check of ``service``; None if it has none or disables it.

    A command with a URL is an ``http`` check of that port and path.
    """
    table = service.table("healthcheck")
    words = _words(table)
    if not words or words[0].upper() == "NONE" or table.flag("disable"):
        return None
    asked = _ASKED.search(" ".join(words))
    return Check(
        kind="http" if asked else "command",
        port=int(asked["port"]) if asked and asked["port"] else None,
        path=(asked["path"] or "/") if asked else None,
        method="GET",
        interval=table.duration("interval", _SECOND),
        timeout=table.duration("timeout", _SECOND),
        grace=table.duration("start_period", _SECOND),
        place=table.place(),
    )


def _words(table: Table) -> list[str]:
    test = table.values.get("test")
    if isinstance(test, list):
        return [written_out(each) for each in test]
    return (table.text("test") or "").split()
