"""Run commands for pictures, with the variables of a shell that has just activated .venv."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ci.pictures.missing import Missing

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
LONGEST = 300
"""seconds that one command may take"""
_KEPT = ("HOME", "LANG", "TMPDIR", "GAIA_PG_BIN", "GAIA_NATS_BIN", "GAIA_CACHE_DIR")


def environ(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables of such a shell, without those of CI that would change a run."""
    path = os.pathsep.join((str(Path(sys.executable).parent), given.get("PATH", os.defpath)))
    return {key: given[key] for key in _KEPT if key in given} | {"PATH": path}


def run(*words: str, cwd: Path = ROOT) -> None:
    """Run a command. Raise ``Missing`` with its last lines if it fails."""
    print(f"  $ {shlex.join(words)}", flush=True)
    try:
        done = subprocess.run(
            words,
            check=False,
            cwd=cwd,
            env=environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
    except FileNotFoundError:
        raise Missing(f"{words[0]} is not on PATH. Set up .venv: ci/setup pictures.") from None
    except subprocess.TimeoutExpired:
        raise Missing(f"`{shlex.join(words)}` still runs after {LONGEST} s") from None
    if done.returncode:
        last = "\n    ".join((done.stdout + done.stderr).strip().splitlines()[-6:])
        raise Missing(f"`{shlex.join(words)}` ended with {done.returncode}:\n    {last}")
