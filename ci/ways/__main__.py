"""``python -m ci.ways [TABLE…] [ID…]``: try the ways around a test tool, and print how each run ended.

The tables are ``run`` (a run without evidence that exits with 0) and ``writes`` (a write in an environment where writing is
forbidden). With ``--command``, another tool is tried: a run of it should not exit with 0, and should write nothing.
README.md describes the tables. Exit code: 0 if every way has its correct outcome, 1 if not, 4 usage error.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ci.ways.table import ways
from ci.ways.trial import GAIA, problems, tried

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci.ways.table import Way

TABLES = ("run", "writes")


def main(words: Sequence[str]) -> int:
    """Try the ways, print a line for each, and return the exit code."""
    given = _parser().parse_args(words)
    chosen = [
        (table, way) for table in TABLES for way in ways(table) if not given.name or {table, way.id} & {*given.name}
    ]
    if not chosen:
        print(f"ci.ways: no way has the ID {' or '.join(given.name)}", file=sys.stderr)
        return 4
    counts = {"ok": 0, "WRONG": 0, "-": 0}
    for table, way in chosen:
        expected, seen, result = _line(table, way, given.command)
        counts[result] += 1
        print(f"{result:6} {table:8} {way.id:32} {expected:20} {seen:34} {way.title}", flush=True)
    other = "" if given.command == GAIA else f", {counts['-']} do not apply to this tool"
    print(f"{counts['ok']} ok, {counts['WRONG']} wrong{other}")
    return min(counts["WRONG"], 1)


def _line(table: str, way: Way, command: str) -> tuple[str, str, str]:
    """Return the expected and the seen outcome, and whether it is right."""
    if command != GAIA and way.only_gaia:
        return "-", "-", "-"
    with tempfile.TemporaryDirectory(prefix="way-") as name:
        seen = tried(way, Path(name), command=command)
    if command == GAIA:
        return way.outcome, seen.word, "WRONG" if problems(way, seen) else "ok"
    if table == "writes":
        expected = "writes" if way.right and way.writes else "writes nothing"
        return expected, ", ".join(seen.written) or "nothing", "WRONG" if seen.written and not way.right else "ok"
    allowed = bool(way.right)
    return "exit 0" if allowed else "not exit 0", seen.word, "ok" if allowed or seen.code else "WRONG"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ci.ways", description=__doc__.partition("\n")[0])
    parser.add_argument("name", nargs="*", metavar="TABLE|ID", help="only these tables and ways")
    parser.add_argument(
        "--command",
        default=GAIA,
        help="how the tool is started; {args} are the arguments of a way, {url} is the service",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
