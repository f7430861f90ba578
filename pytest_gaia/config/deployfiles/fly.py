"""One ``fly.*.toml``: what it says of an app, as flyctl would understand it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_gaia.config.deployfiles.fly_ports import groups_of, process_groups, served_ports
from pytest_gaia.config.deployfiles.model import App, Form, Size
from pytest_gaia.config.deployfiles.places import toml_comments, toml_places
from pytest_gaia.config.deployfiles.values import Table, shown_type
from pytest_gaia.config.documents import parse
from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_MEMORY_OF_SHARED_CPU, _MEMORY_OF_CPU = 256, 2048
SIZES: dict[str, tuple[str, int, int]] = {
    **{f"shared-cpu-{count}x": ("shared", count, count * _MEMORY_OF_SHARED_CPU) for count in (1, 2, 4, 8)},
    **{f"performance-{count}x": ("performance", count, count * _MEMORY_OF_CPU) for count in (1, 2, 4, 8, 16)},
}
"""Fly's names of machine sizes → kind of CPU, number of CPUs, memory in MB"""

_DEFAULT_SIZE = "shared-cpu-1x"


def app_of(text: str, path: Path, name: str, *, service: str, environment: str, form: Form) -> App:
    """Return the app of the file at ``path``, which holds ``text``; messages and places call it ``name``.

    Raises ``ConfigError`` that names file, line and key for a file that cannot be understood.
    """
    top, comments = table_of(text, path, name)
    app_name = top.text("app")
    if not app_name:
        raise top.error("app", 'the name of the app is missing; write app = "gaia-…" at the top of the file.')
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", app_name):
        raise top.error("app", f"{app_name!r} is no name of an app: lower-case letters, digits and '-'.")
    build, deploy = top.table("build"), top.table("deploy")
    groups = process_groups(top)
    served, loose = served_ports(top, groups)
    sizes = _sizes(top, groups)
    main = sizes.get(next((group for port in served for group in port.groups if group in groups), groups[0]))
    return App(
        service=service,
        environment=environment,
        form=form,
        name=app_name,
        path=path,
        image=build.text("image"),
        dockerfile=build.text("dockerfile"),
        region=top.text("primary_region"),
        env=top.texts("env"),
        served=served,
        loose_checks=loose,
        memory_mb=main.memory_mb if main else None,
        cpus=main.cpus if main else None,
        cpu_kind=main.cpu_kind if main else None,
        groups=groups,
        sizes=sizes,
        strategy=deploy.text("strategy"),
        release_command=deploy.text("release_command") or None,
        places=top.places,
        comments=comments,
        document=top.values,
    )


def table_of(text: str, path: Path, name: str) -> tuple[Table, dict[int, str]]:
    """Return what the file at ``path`` holds, and line → comment on it. Raises ``ConfigError`` as ``app_of`` does."""
    if path.suffix == ".toml":
        return Table(name, parse(text, name), toml_places(text, name)), toml_comments(text)
    # PyYAML is only for those who write their files in YAML or JSON.
    from pytest_gaia.config.deployfiles.yaml_values import read_yaml, yaml_comments

    # JSON is YAML but for tabs, which no string of it can hold.
    text = text.expandtabs() if path.suffix == ".json" else text
    document, places = read_yaml(text, name)
    if not isinstance(document, dict):
        raise ConfigError(f"{name}:1: expected the settings of an app, got {shown_type(document)}.")
    return Table(name, document, places), yaml_comments(text)


def _sizes(top: Table, groups: tuple[str, ...]) -> dict[str, Size]:
    """Return process group → what its machines are given; a group that the file leaves to ``fly scale`` is missing."""
    tables = [(each, groups_of(each)) for each in top.tables("vm")]
    found = {}
    for group in groups:
        # flyctl takes the last [[vm]] that names the group, or else the first that names none.
        own = [table for table, named in tables if group in named] or [
            table for table, named in tables[::-1] if not named
        ]
        if own:
            found[group] = _size(own[-1])
    return found


def _size(table: Table) -> Size:
    kind, cpus, memory = SIZES.get(table.text("size") or _DEFAULT_SIZE, (None, None, None))
    key = next((key for key in ("memory_mb", "memory", "size") if key in table.values), None)
    # flyctl lets memory_mb win over memory, and both over the size.
    return Size(
        memory_mb=table.whole("memory_mb") or table.megabytes("memory") or memory,
        cpus=table.whole("cpus") or cpus,
        cpu_kind=table.text("cpu_kind") or kind,
        place=table.place(key) if key else table.place(),
    )
