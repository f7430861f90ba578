"""Measure the cost of an isolated database per test: here, and with pytest-postgresql on the same PostgreSQL in memory.

The cost of a test is ``(T(1 + n) - T(1)) / n``, where T is the shortest wall time of a whole pytest process. So the
start of servers, imports and other processes do not count. Every test inserts one row and counts the rows.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from ci.bench.memory import folder_in_memory
from pytest_gaia.sandbox.binaries import find_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCHEMA = Path(__file__).parents[2] / "pytest_gaia" / "sandbox" / "_services" / "schema.sql"

PYPROJECT = """
[tool.pytest]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "session"
asyncio_default_test_loop_scope = "session"
"""

OURS = """
import pytest

@pytest.mark.gaia(writes=True)
@pytest.mark.parametrize("number", range({count}))
async def test_row({fixture}, number):
    await {fixture}.execute("INSERT INTO users (email) VALUES ($1)", f"{{number}}@example.com")
    assert await {fixture}.fetchval("SELECT count(*) FROM users") == 2
"""

FLOOR = """
import pytest

@pytest.mark.parametrize("number", range({count}))
async def test_row(number):
    pass
"""

PEER = """
import pytest
from pathlib import Path
from pytest_postgresql import factories

postgresql_proc = factories.postgresql_proc(executable={pg_ctl!r}, load=[Path({schema!r})])
postgresql = factories.postgresql("postgresql_proc")

@pytest.mark.parametrize("number", range({count}))
def test_row(postgresql, number):
    with postgresql.cursor() as cursor:
        cursor.execute("INSERT INTO users (email) VALUES (%s)", (f"{{number}}@example.com",))
        assert cursor.execute("SELECT count(*) FROM users").fetchone() == (1,)
"""


@dataclass(slots=True)
class Contender:
    """A way to isolate tests: ``measure(n)`` returns the seconds that a run of n tests takes."""

    name: str
    measure: Callable[[int], float]
    count: int
    """tests in a run: enough to make disturbances small"""
    one: float = inf
    many: float = inf

    def run(self) -> None:
        """Measure once more."""
        self.one = min(self.one, self.measure(1))
        self.many = min(self.many, self.measure(1 + self.count))

    @property
    def cost(self) -> float:
        """Milliseconds for one more test."""
        return 1000 * (self.many - self.one) / self.count


def contenders() -> list[Contender]:
    """Return the contenders; the peer only if it can run here."""
    ways = [
        Contender("rollback", partial(ours, "postgres"), 400),
        Contender("own database", partial(ours, "postgres_fresh"), 30),
        Contender("no database", floor, 400),
    ]
    return ways if peer_is_missing() else [*ways, Contender("pytest-postgresql", peer, 40)]


def peer_is_missing() -> str | None:
    """Return the reason if the peer cannot be measured here, or None."""
    if find_spec("pytest_postgresql") is None or find_spec("psycopg") is None:
        return "pytest-postgresql is not installed: make bench"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "pytest-postgresql does not run as root"
    return None


def ours(fixture: str, count: int) -> float:
    """Return the seconds that ``count`` tests with one of our fixtures take."""
    return _timed(OURS.format(fixture=fixture, count=count), ("-p", "no:postgresql"))


def floor(count: int) -> float:
    """Return the seconds that ``count`` empty asynchronous tests take."""
    return _timed(FLOOR.format(count=count), ("-p", "no:postgresql"))


def peer(count: int) -> float:
    """Return the seconds that ``count`` tests with pytest-postgresql take."""
    pg_ctl = str(find_postgres().folder / "pg_ctl")
    source = PEER.format(pg_ctl=pg_ctl, schema=str(SCHEMA), count=count)
    return _timed(source, ("-p", "no:gaia"), unprivileged=True)


def _timed(source: str, options: tuple[str, ...], *, unprivileged: bool = False) -> float:
    with _project(source) as folder:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:anyio", "-p", "no:cacheprovider", *options]
        command += ["--basetemp", str(folder / "temporary")]
        prefix = _as_nobody() if unprivileged and os.geteuid() == 0 else ()
        began = time.perf_counter()
        run = subprocess.run([*prefix, *command], cwd=folder, capture_output=True, text=True, check=False)
        took = time.perf_counter() - began
    if run.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{run.stdout}\n{run.stderr}")
    return took


@contextmanager
def _project(source: str) -> Iterator[Path]:
    """Yield a pytest project with one file, in memory if possible."""
    with folder_in_memory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        (folder / "pyproject.toml").write_text(PYPROJECT)
        (folder / "gaia.toml").write_text('[gaia]\nplatform = "gaia"\n')
        (folder / "test_rows.py").write_text(source)
        yield folder


def _as_nobody() -> tuple[str, ...]:
    """Run as a user that PostgreSQL accepts and that can read an environment below ``/root``."""
    capability = "-all,+dac_read_search"
    identity = ("--reuid=nobody", "--regid=nogroup", "--clear-groups")
    rights = (f"--bounding-set={capability}", f"--inh-caps={capability}", f"--ambient-caps={capability}")
    return ("setpriv", *identity, *rights)
