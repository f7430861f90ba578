"""The tables of ``gaia.toml`` as types, and the translation of what is wrong with a table into plain words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from pytest_gaia.config.environment import MEMBERS, Topology
from pytest_gaia.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_gaia.config.locate import Path

Member: TypeAlias = Literal["gateway", "auth", "asset", "chat", "nats", "postgres"]
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=3600)]


class UrlTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``[env.NAME.urls]``: the base URL of each service."""

    gateway: str | UnsetType = UNSET
    auth: str | UnsetType = UNSET
    asset: str | UnsetType = UNSET
    chat: str | UnsetType = UNSET


class TimeoutTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``[env.NAME.timeouts]``, in seconds."""

    connect: Seconds | UnsetType = UNSET
    answer: Seconds | UnsetType = UNSET
    stream: Seconds | UnsetType = UNSET
    ready: Seconds | UnsetType = UNSET


class EnvironmentTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[env.NAME]``. What is not set here is left to the layer below."""

    topology: Topology | UnsetType = UNSET
    url: str | UnsetType = UNSET
    """template with ``{service}`` for all services; without it, the URL of the gateway"""
    urls: UrlTable | UnsetType = UNSET
    nats: str | UnsetType = UNSET
    services: tuple[Member, ...] | UnsetType = UNSET
    required: tuple[Member, ...] | UnsetType = UNSET
    hosts: tuple[str, ...] | UnsetType = UNSET
    timeouts: TimeoutTable | UnsetType = UNSET
    writes: bool | UnsetType = UNSET
    experimental: bool | UnsetType = UNSET
    safe_posts: tuple[str, ...] | UnsetType = UNSET
    suites: tuple[str, ...] | UnsetType = UNSET
    release: str | UnsetType = UNSET


class GaiaTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``[gaia]``: settings of the project."""

    environment: str | UnsetType = UNSET
    suites: tuple[str, ...] | UnsetType = UNSET


Table = TypeVar("Table", bound=Struct)


class TableError(ValueError):
    """What is wrong with a table, in plain words, and the key (relative to the table) at which it is."""

    def __init__(self, key: Path, problem: str) -> None:
        super().__init__(problem)
        self.key = key


def decode(values: Mapping[str, Any], table: type[Table]) -> Table:
    """Return ``values`` as ``table``; raises :class:`TableError` for an unknown key or a value of a wrong type."""
    try:
        return msgspec.convert(values, table)
    except msgspec.ValidationError as error:
        raise _explain(str(error), table) from None


def keys_of(table: type[Struct]) -> tuple[str, ...]:
    """Return the keys that ``table`` knows."""
    return table.__struct_fields__


_LOCATION = re.compile(r"(?P<problem>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*)`", re.DOTALL)
_WORDS = {
    "`str`": "a string",
    "`bool`": "true or false",
    "`float`": "a number",
    "`int`": "a number",
    "`array`": "a list",
    "`object`": "a table",
}
_TABLES: Mapping[Path, type[Struct]] = {("urls",): UrlTable, ("timeouts",): TimeoutTable}
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "topology": get_args(Topology),
    "services": MEMBERS,
    "required": MEMBERS,
}


def _explain(message: str, table: type[Struct]) -> TableError:
    location = _LOCATION.fullmatch(message)
    problem, place = (location["problem"], location["path"]) if location else (message, None)
    key: Path = tuple(re.sub(r"\[.*?\]", "", place).split(".")) if place else ()
    unknown = _UNKNOWN.fullmatch(problem)
    if unknown:
        name = unknown["key"]
        return TableError((*key, name), f"unknown key; {nearest(name, keys_of(_TABLES.get(key, table)))}")
    choice = re.fullmatch(r"Invalid enum value '(.*)'", problem)
    if choice and key and key[-1] in _CHOICES:
        return TableError(key, f"unknown value {choice[1]!r}; {nearest(choice[1], _CHOICES[key[-1]])}")
    for type_name, words in _WORDS.items():
        problem = problem.replace(type_name, words)
    return TableError(key, problem[:1].lower() + problem[1:])
