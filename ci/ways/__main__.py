"""``python -m ci.ways [TABLE|ID…]``: try the ways around a test tool, and print how each of them ended.

The tables are ``run`` (a run without evidence that exits with 0), ``writes`` (a write where writing is forbidden) and
``promotion`` (a promotion, a ledger or a results log without evidence). With ``--command``, another tool is tried: a run of
it should not exit with 0, and should write nothing. README.md describes the tables.

Exit codes: 0 every way has its correct outcome; 1 one has not; 4 usage error.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from ci.ways.release import Releases, steps
from ci.ways.table import ways
from ci.ways.trial import GAIA, problems, tried

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ci.ways.table import Way

    Line = tuple[str, str, str, str, str]

OK, WRONG, NOT_TRIED = "ok", "WRONG", "-"


def main(words: Sequence[str]) -> int:
    """Try the ways, print a line for each, and return the exit code."""
    given = _parser().parse_args(words)
    counts: Counter[str] = Counter()
    for table, tries in (("run", _runs), ("writes", _runs), ("promotion", _promotions)):
        for result, name, expected, seen, title in tries(table, given.name, given.command):
            counts[result] += 1
            print(f"{result:6} {table:10} {name:32} {expected:14} {seen:34} {title}", flush=True)
    if not counts:
        print(f"ci.ways: no way has the ID {' or '.join(given.name)}", file=sys.stderr)
        return 4
    not_tried = f", {counts[NOT_TRIED]} not tried, because they are about Gaia" if counts[NOT_TRIED] else ""
    print(f"{counts[OK]} ok, {counts[WRONG]} wrong{not_tried}")
    return min(counts[WRONG], 1)


def _runs(table: str, names: Sequence[str], command: str) -> Iterator[Line]:
    for way in ways(table):
        if not names or {table, way.id} & {*names}:
            yield _tried(way, table, command)


def _tried(way: Way, table: str, command: str) -> Line:
    if command != GAIA and way.only_gaia:
        return NOT_TRIED, way.id, "", "", way.title
    with tempfile.TemporaryDirectory(prefix="way-") as name:
        seen = tried(way, Path(name), command=command)
    if command == GAIA:
        return WRONG if problems(way, seen) else OK, way.id, way.outcome, seen.word, way.title
    if table == "writes":
        expected, ended, failed = "no write", ", ".join(seen.written) or "no write", bool(seen.written)
    else:
        expected, ended, failed = "not exit 0", seen.word, seen.code == 0
    return (
        (WRONG, way.id, expected, ended, way.title)
        if failed and not way.right
        else (OK, way.id, expected, ended, way.title)
    )


def _promotions(table: str, names: Sequence[str], command: str) -> Iterator[Line]:
    chosen = [each for each in steps() if not names or {table, each.id} & {*names}]
    if command != GAIA:
        yield from ((NOT_TRIED, each.id, "", "", each.title) for each in chosen)
    elif chosen:
        with Releases() as releases:
            for each in chosen:
                wrong = releases.wrong(each)
                expected = f"exit {each.exit}"
                yield WRONG if wrong else OK, each.id, expected, wrong[0] if wrong else expected, each.title


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ci.ways", description=__doc__.partition("\n")[0])
    parser.add_argument("name", nargs="*", metavar="TABLE|ID", help="only these tables and ways")
    parser.add_argument(
        "--command",
        default=GAIA,
        help="how the tool is started; {args} are the arguments of a way, {url} is the address of the service",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
