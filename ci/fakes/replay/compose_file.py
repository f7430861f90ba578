"""Read compose files as Compose does: its choice of files, variables, merging, profiles and the long forms of keys."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?:(?P<sign>:?[-?])(?P<other>[^}]*))?\}|(?P<plain>\w+))")
PORT = re.compile(r"(?:(?:(?P<ip>[\d.]+):)?(?P<published>[\d-]*):)?(?P<target>[\d-]+)(?:/(?P<protocol>\w+))?")
MISSING, MALFORMED, REFUSED = 14, 15, 16
"""exit codes of compose for a missing file and for an invalid one, and the one for what this fake does not reproduce"""
UNREPRODUCED = ("include", "extends", "secrets", "configs", "develop", "use_api_socket")
KEYS = [
    "annotations",
    "build",
    "cap_add",
    "cap_drop",
    "command",
    "container_name",
    "cpus",
    "depends_on",
    "deploy",
    "dns",
    "entrypoint",
    "environment",
    "env_file",
    "expose",
    "extra_hosts",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "labels",
    "logging",
    "mem_limit",
    "networks",
    "network_mode",
    "platform",
    "ports",
    "privileged",
    "profiles",
    "pull_policy",
    "read_only",
    "restart",
    "scale",
    "shm_size",
    "stop_grace_period",
    "stop_signal",
    "tmpfs",
    "ulimits",
    "user",
    "volumes",
    "working_dir",
]


class FileError(Exception):
    """An unusable compose file; ``code`` is the exit code of compose."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class _Loader(yaml.SafeLoader):
    """YAML in which every scalar is a string, as for the substitution of variables."""

    yaml_implicit_resolvers = {"<": [("tag:yaml.org,2002:merge", re.compile("^<<$"))]}  # noqa: RUF012 - as in the base class


def paths(named: list[str], folder: Path, variables: dict[str, str]) -> list[str]:
    """Return the files that Compose reads: the named ones, those in COMPOSE_FILE, or the default one and its override."""
    if named := named or [each for each in variables.get("COMPOSE_FILE", "").split(os.pathsep) if each]:
        return [each if each == "-" else str(folder / each) for each in named]
    for name in NAMES:
        if (folder / name).exists():
            beside = (
                folder / f"{stem}.override.{end}" for stem in ("compose", "docker-compose") for end in ("yml", "yaml")
            )
            return [str(folder / name), *(str(each) for each in beside if each.exists())][:2]
    raise FileError("no configuration file provided: not found", MISSING)


def dotenv(folder: Path) -> dict[str, str]:
    """Return the variables of ``.env`` in ``folder`` and of this process, which take precedence."""
    file = folder / ".env"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    pairs = (line.removeprefix("export ").partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("'\"") for key, _, value in pairs} | dict(os.environ)


def load(files: list[str], stdin: str, variables: dict[str, str]) -> Json:
    """Return the merged document with the long forms of keys. Raise ``FileError``."""
    merged: Json = {}
    folder = Path(next((each for each in files if each != "-"), ".")).absolute().parent
    for name in files:
        if name != "-" and not Path(name).exists():
            raise FileError(f"open {Path(name).absolute()}: no such file or directory", MISSING)
        tree = substitute(read(stdin if name == "-" else Path(name).read_text(encoding="utf-8")), variables)
        _refuse(tree, "")
        services = {
            key: _long(key, each or {}, folder, variables) for key, each in (tree.get("services") or {}).items()
        }
        merged = _merge(merged, {**tree, "services": services})
    for name, service in merged.get("services", {}).items():
        for other in service["depends_on"]:
            if other not in merged["services"]:
                why = f'service "{name}" depends on undefined service "{other}": invalid compose project'
                raise FileError(why, MALFORMED)
    return merged


def read(text: str) -> Json:
    """Return a document whose scalars are strings. Raise ``FileError``."""
    try:
        tree = yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = str(error.problem).replace("character '\\t'", "character")
        problem = re.sub(r"expected (.*), but .*", r"did not find expected \1", problem)
        raise FileError(f"yaml: line {line}: {problem}", MALFORMED) from None
    if not isinstance(tree, dict):
        raise FileError("empty compose file", MALFORMED)
    return tree


def substitute(value: Any, variables: dict[str, str], where: str = "") -> Any:
    """Substitute variables in all strings of ``value``. Raise ``FileError`` for a missing required one."""
    if isinstance(value, dict):
        return {key: substitute(each, variables, f"{where}.{key}".lstrip(".")) for key, each in value.items()}
    if isinstance(value, list):
        return [substitute(each, variables, f"{where}.[]") for each in value]
    return VARIABLE.sub(lambda found: _variable(found, variables, where), value) if isinstance(value, str) else value


def _variable(found: re.Match[str], variables: dict[str, str], where: str) -> str:
    name, sign = found["name"] or found["plain"], found["sign"] or ""
    if name is None:
        return "$"
    given = variables.get(name)
    if given or (given is not None and not sign.startswith(":")):
        return given
    if sign.endswith("?"):
        why = f"required variable {name} is missing a value: {found['other']}"
        raise FileError(f"error while interpolating {where}: {why}", MALFORMED)
    return found["other"] or ""


def _refuse(tree: Json, where: str) -> None:
    for key in tree:
        if key in UNREPRODUCED:
            raise FileError(f"this fake docker does not reproduce `{key}`; use a real engine (tests/docker)", REFUSED)
    for name, service in (tree.get("services") or {}).items() if not where else ():
        for key in service or {}:
            if key not in (*KEYS, *UNREPRODUCED) and not key.startswith("x-"):
                raise FileError(f"services.{name} Additional property {key} is not allowed", MALFORMED)
        _refuse(service or {}, name)


def _long(name: str, given: Json, folder: Path, variables: dict[str, str]) -> Json:
    """Return a service as ``docker compose config --format json`` prints it."""
    service: Json = {
        "command": None,
        "entrypoint": None,
        **given,
        "networks": given.get("networks") or {"default": None},
    }
    for key in ("command", "entrypoint"):
        service[key] = shlex.split(service[key]) if isinstance(service[key], str) else service[key]
    if "build" in given:
        build = {"context": given["build"]} if isinstance(given["build"], str) else given["build"]
        service["build"] = {"dockerfile": "Dockerfile", **build, "context": str(folder / build.get("context", "."))}
    needs = given.get("depends_on") or {}
    needs = needs if isinstance(needs, dict) else {each: {"condition": "service_started"} for each in needs}
    service["depends_on"] = {key: {"required": True, **each} for key, each in needs.items()}
    if "healthcheck" in given:
        check = dict(given["healthcheck"])
        check |= {"disable": True} if str(check.get("disable", "")).lower() == "true" else {}
        check |= {"test": ["CMD-SHELL", check["test"]]} if isinstance(check.get("test"), str) else {}
        service["healthcheck"] = check
    if "ports" in given:
        service["ports"] = [each for port in given["ports"] or () for each in _ports(port)]
    service["environment"] = {
        **_environment(given.pop("env_file", ()), folder),
        **_table(given.get("environment"), variables),
    }
    service.pop("env_file", None)
    if replicas := (given.get("deploy") or {}).get("replicas", given.get("scale")):
        service["deploy"] = {**(given.get("deploy") or {}), "replicas": int(replicas)}
    return service


def _ports(port: Any) -> list[Json]:
    if isinstance(port, dict):
        return [{"mode": "ingress", "protocol": "tcp", **port, "target": int(port["target"])}]
    found = PORT.fullmatch(port)
    if found is None:
        raise FileError(f"invalid containerPort: {port}", MALFORMED)
    targets, published = _range(found["target"]), _range(found["published"] or "")
    long = []
    for index, target in enumerate(targets):
        entry = {"mode": "ingress", "target": target, "protocol": found["protocol"] or "tcp"}
        entry |= {"host_ip": found["ip"]} if found["ip"] else {}
        long.append(entry | ({"published": str(published[index])} if published else {}))
    return long


def _range(text: str) -> list[int]:
    first, _, last = text.partition("-")
    numbers = list(range(int(first), int(last or first) + 1)) if text else []
    if any(each > 65535 for each in numbers):
        raise FileError(f"invalid containerPort: {text}", MALFORMED)
    return numbers


def _environment(given: Any, folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in [given] if isinstance(given, str) else given:
        file = folder / name
        if not file.is_file():
            raise FileError(f"env file {file} not found: stat {file}: no such file or directory", MISSING)
        found |= dict(line.split("=", 1) for line in file.read_text(encoding="utf-8").splitlines() if "=" in line)
    return found


def _table(given: Any, variables: dict[str, str]) -> dict[str, str | None]:
    pairs = given if isinstance(given, dict) else dict(each.partition("=")[::2] for each in given or ())
    plain = [] if isinstance(given, dict) else [each for each in given or () if "=" not in each]
    return {**pairs, **{each: variables.get(each) for each in plain}}


def _merge(base: Any, other: Any, key: str = "") -> Any:
    if isinstance(base, dict) and isinstance(other, dict):
        return base | {name: _merge(base[name], each, name) if name in base else each for name, each in other.items()}
    if isinstance(base, list) and isinstance(other, list) and key not in ("command", "entrypoint", "test"):
        return base + [each for each in other if each not in base]
    return base if other is None else other
