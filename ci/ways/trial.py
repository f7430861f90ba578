"""Try a way: run a command in a project of its own, and say how the run ended."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ci.cases.__main__ import run_apart
from ci.ways.service import Service, database_and_broker
from ci.ways.table import PLAIN_CLIENT, concurrency_of, filled, write_project

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ci.ways.table import Way

    Start = Callable[[Sequence[str], Path, Mapping[str, str]], tuple[int, str]]

GAIA = (
    "pytest -p no:anyio -p no:schemathesis -p no:hypothesispytest -p no:allure_pytest --gaia-env={env} "
    "--gaia-require-full --gaia-verdict-file=verdict.json --gaia-report-log=run.jsonl {concurrency} {args}"
)
"""how a run is started whose exit code decides about a release"""
SECONDS = 120
WORDS = {0: "PROMOTE", 1: "REJECT", 4: "refused", 10: "DRIFT", 11: "HOLD", 12: "INFRA"}


@dataclass(frozen=True, slots=True)
class Seen:
    """How a run ended."""

    code: int
    output: str
    word: str
    """the verdict; or what exit code and verdict file say, if they disagree"""
    written: tuple[str, ...]
    """requests that write, as the service received them; and what else a test of the way wrote"""


def tried(way: Way, folder: Path, *, command: str = GAIA, number: str = "1", start: Start | None = None) -> Seen:
    """Try ``way`` in the empty ``folder``; ``number`` are the concurrent tests (``8``) or the processes (``-n2``)."""
    today = datetime.now(UTC).date()
    with Service() as service, Service(missing=False) as stub:
        values = {"url": service.url, "stub": stub.url, "today": str(today), "soon": str(today + timedelta(days=7))}
        if way.needs_servers:
            values |= database_and_broker()
        write_project(way, folder, values)
        if command != GAIA and not (folder / "conftest.py").exists():
            (folder / "conftest.py").write_bytes(PLAIN_CLIENT.read_bytes())
        values |= {"env": way.env, "args": filled(way.args, values), "concurrency": concurrency_of(number)}
        given = {name: filled(value, values) for name, value in way.environ.items()}
        code, output = (start or partial(run_apart, seconds=SECONDS))(
            shlex.split(filled(command, values)), folder, _environ(service.url) | given
        )
        noted = folder / "written.txt"
        written = [*service.written, *(noted.read_text(encoding="utf-8").splitlines() if noted.exists() else ())]
        return Seen(code, output, _word(code, folder, command), tuple(written))


def problems(way: Way, seen: Seen) -> list[str]:
    """Return what is wrong with how a run of Gaia ended; empty if it is the correct outcome."""
    found = [f"ended with {seen.word}, not {way.outcome}"] if seen.word != way.outcome else []
    if bool(seen.written) != way.writes:
        found.append(f"wrote {', '.join(seen.written) or 'nothing'}")
    return found + [f"does not show: {each}" for each in way.shows if each not in seen.output]


def _word(code: int, folder: Path, command: str) -> str:
    file = folder / "verdict.json"
    word = WORDS.get(code, f"exit {code}")
    if command != GAIA or word == "refused" or not file.exists() or not file.stat().st_size:
        return word if command == GAIA else f"exit {code}"
    said = json.loads(file.read_text(encoding="utf-8"))["verdict"]
    # pytest's own exit codes stay: 2 if a file could not be collected, 3 after an internal error (of xdist, too).
    return said if said == word or code in (2, 3) else f"exit {code}, {said} in the verdict file"


def _environ(url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GAIA_", "PYTEST_", "GITHUB_"))}
    path = os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", "")))
    return kept | {"COLUMNS": "400", "PATH": path, "SHOP_URL": url}
