"""Make the pictures of the README from real runs: ``make pictures`` (``python -m ci.pictures``).

Exit codes: 0 all pictures are made, 1 at least one failed, 4 usage error, 130 interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ci.pictures import report, signoff, terminal
from ci.pictures.commands import ROOT
from ci.pictures.missing import Missing

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

PICTURES: dict[str, Callable[[Path], list[Path]]] = {
    "terminal": terminal.make,
    "report": report.make,
    "signoff": signoff.make,
}

USAGE_ERROR = 4


def main() -> int:
    """Make the chosen pictures, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ci.pictures", description=__doc__.partition("\n")[0])
    parser.add_argument("pictures", nargs="*", metavar="|".join(PICTURES), help="only these; default: all")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "pictures", help="default: docs/pictures")
    given = parser.parse_args()
    if unknown := [each for each in given.pictures if each not in PICTURES]:
        print(f"pictures: unknown picture {', '.join(unknown)}; choose from: {', '.join(PICTURES)}", file=sys.stderr)
        return USAGE_ERROR
    given.output.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        made = [_made(name, given.output) for name in given.pictures or PICTURES]
    except KeyboardInterrupt:
        print("\npictures: interrupted; the current picture is unchanged", file=sys.stderr)
        return 130
    return 0 if all(made) else 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _made(name: str, folder: Path) -> bool:
    print(f"{name}: …", flush=True)
    start = time.monotonic()
    try:
        files = PICTURES[name](folder)
    except (Missing, TimeoutError) as error:
        print(f"{name}: not made. {error}", file=sys.stderr, flush=True)
        return False
    for file in files:
        print(f"{name}: {file} ({file.stat().st_size / 1000:.0f} kB)")
    print(f"{name}: made in {time.monotonic() - start:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
