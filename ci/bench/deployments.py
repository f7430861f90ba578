"""``gaia deploy local`` and ``docker compose up --detach --wait`` of the same project, on a real engine."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.docker.engine import running_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.docker.engine import Project

SIZES = (1, 4, 8, 16)
"""services of a project"""
ROUNDS = 3
GAIA = """\
[env.local]
from = "compose"
[env.local.deploy]
deadline = 120
stable_for = 0
"""
SERVICE = """\
  {name}:
    image: tiny
    command: httpd -f -p 8000 -h /www
    ports: ["127.0.0.1:{port}:8000"]
    environment: {{ROUND: "{round}"}}
    healthcheck: {{test: wget -q -O /dev/null http://127.0.0.1:8000/health, interval: 1s, timeout: 2s, retries: 3}}
    stop_grace_period: 0s
"""


@dataclass(slots=True)
class Times:
    """Seconds of wall time, one for each round."""

    compose: list[float] = field(default_factory=list)
    gaia: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Median of gaia relative to that of Compose."""
        return median(self.gaia) / median(self.compose)

    @property
    def added(self) -> float:
        """Seconds that gaia takes longer."""
        return median(self.gaia) - median(self.compose)


@dataclass(slots=True)
class Size:
    """Times of a project with this number of services."""

    services: int
    unchanged: Times = field(default_factory=Times)
    changed: Times = field(default_factory=Times)


def available() -> str:
    """Return why nothing can be measured here; empty if it can."""
    return "" if shutil.which("dockerd") else "no Docker engine: `ci/setup docker` installs it"


def measure() -> list[Size]:
    """Return the times of projects of all sizes, in alternating rounds. The time for watching new containers is not in it."""
    found = []
    with running_engine() as engine, tempfile.TemporaryDirectory() as folder:
        for services in SIZES:
            size = Size(services)
            number = iter(range(1000))
            with engine.project(Path(folder), _compose(services, next(number)), _gaia(services)) as project:
                project.up()
                ways = (
                    (_up, size.unchanged.compose, size.changed.compose),
                    (_deploy, size.unchanged.gaia, size.changed.gaia),
                )
                for _ in range(ROUNDS):
                    for way, unchanged, changed in ways:
                        unchanged.append(_seconds(way, project))
                        project.write("docker-compose.yml", _compose(services, next(number)))
                        changed.append(_seconds(way, project))
            found.append(size)
    return found


def _seconds(way: Callable[[Project], None], project: Project) -> float:
    began = time.perf_counter()
    way(project)
    return time.perf_counter() - began


def _up(project: Project) -> None:
    project.up()


def _deploy(project: Project) -> None:
    done = project.gaia("-q", "deploy", "local")
    if done.code != 0:
        raise RuntimeError(f"gaia deploy local: exit code {done.code}: {done.err}{done.out}")


def _names(services: int) -> list[str]:
    return [f"s{number}" for number in range(services)]


def _compose(services: int, number: int) -> str:
    tables = (SERVICE.format(name=name, port=8100 + at, round=number) for at, name in enumerate(_names(services)))
    return f"services:\n{''.join(tables)}"


def _gaia(services: int) -> str:
    return "".join(f"[services.{name}]\n" for name in _names(services)) + GAIA
