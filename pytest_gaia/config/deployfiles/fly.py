"""One ``fly.*.toml``: what it says of an app, as flyctl would understand it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_gaia.config.deployfiles.fly_ports import served_ports
from pytest_gaia.config.deployfiles.model import App, Form
from pytest_gaia.config.deployfiles.places import toml_comments, toml_places
from pytest_gaia.config.deployfiles.values import Table
from pytest_gaia.config.documents import parse, read_text

if TYPE_CHECKING:
    from pathlib import Path

_MEMORY_OF_SHARED_CPU, _MEMORY_OF_CPU = 256, 2048
SIZES: dict[str, tuple[str, int, int]] = {
    **{f"shared-cpu-{count}x": ("shared", count, count * _MEMORY_OF_SHARED_CPU) for count in (1, 2, 4, 8)},
    **{f"performance-{count}x": ("performance", count, count * _MEMORY_OF_CPU) for count in (1, 2, 4, 8, 16)},
}
"""Fly's names of machine sizes → kind of CPU, number of CPUs, memory in MB"""

_DEFAULT_SIZE = "shared-cpu-1x"


def read_app(path: Path, name: str, *, service: str, environment: str, form: Form) -> App:
    """Return the app of the file at ``path``; messages and places call it ``name``.

    Raises ``ConfigError`` that names file, line and key for a file that cannot be read or understood.
    """
    text = read_text(path, name)
    document = parse(text, name)
    places = toml_places(text, name)
    top = Table(name, document, places)
    app_name = top.text("app")
    if not app_name:
        raise top.error("app", 'the name of the app is missing; write app = "gaia-…" at the top of the file.')
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", app_name):
        raise top.error("app", f"{app_name!r} is no name of an app: lower-case letters, digits and '-'.")
    build, deploy = top.table("build"), top.table("deploy")
    served, loose = served_ports(top)
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
        strategy=deploy.text("strategy"),
        release_command=deploy.text("release_command") or None,
        places=places,
        comments=toml_comments(text),
        document=document,
        **_machine(top),
    )


def _machine(top: Table) -> dict[str, Any]:
    """Return what a machine is given, as keys of ``App``; nothing where the file leaves it to ``fly scale``."""
    tables = top.tables("vm")
    if not tables:
        return {}
    first = tables[0]
    size = first.text("size") or _DEFAULT_SIZE
    kind, cpus, memory = SIZES.get(size, (None, None, None))
    # flyctl lets memory_mb win over memory, and both over the size.
    return {
        "memory_mb": first.whole("memory_mb") or first.megabytes("memory") or memory,
        "cpus": first.whole("cpus") or cpus,
        "cpu_kind": first.text("cpu_kind") or kind,
    }
