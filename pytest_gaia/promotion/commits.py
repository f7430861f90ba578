"""What git knows of a release: its commit, whether that is all of it, and who wrote what is new."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gaia.config.variables import without_signing_key
from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LAST = 50
"""commits whose authors count where nothing was released yet"""

# Looking must not write: git status would refresh the index, and stand in the way of another git.
_QUIET = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
_AUTHORS = "%ae%x00%(trailers:key=Co-authored-by,valueonly,separator=%x00)%x00"
_ADDRESS = re.compile(r"<([^<>]*)>\s*$")


@dataclass(frozen=True, slots=True)
class Commit:
    """The commit of a work tree."""

    id: str
    changed: tuple[str, ...] = ()
    """files that differ from it, and new ones that are not ignored"""


def head(rootdir: Path, *, beside: Sequence[str] = ()) -> Commit:
    """Return the commit that is checked out around ``rootdir``.

    ``beside`` are folders (relative to ``rootdir``) whose files are no part of a release. Raises ``ConfigError``
    outside of a repository, for one without a commit, and where there is no git.
    """
    commit = _git(rootdir, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip()
    if not commit:
        raise ConfigError("a bundle names a commit, and there is none here yet: commit, then try again.")
    left_out = (f":(exclude){folder}" for folder in beside)
    status = _git(rootdir, "-c", "core.quotePath=false", "status", "--porcelain", "--", ":/", *left_out)
    return Commit(commit, tuple(line[3:] for line in status.splitlines()))


def knows(rootdir: Path, commit: str) -> bool:
    """Whether the repository around ``rootdir`` has ``commit``."""
    return _run(rootdir, "cat-file", "-e", f"{commit}^{{commit}}").returncode == 0


def committed(rootdir: Path, commit: str, file: str) -> str | None:
    """Return the text of ``file`` (beside or below ``rootdir``) as ``commit`` has it; None where that is not known."""
    found = _run(rootdir, "cat-file", "blob", f"{commit}:./{file}")
    return None if found.returncode else found.stdout


def authors(rootdir: Path, since: str | None = None) -> tuple[str, ...]:
    """Return who wrote what HEAD has and ``since`` has not, as lower-case e-mail addresses, co-authors included.

    Where that is nothing, or ``since`` is not known, those of the last :data:`LAST` commits: with nobody as author,
    anybody could approve. Addresses are taken as they were committed: a mailmap could turn one into another.

    Raises ``ConfigError`` in a shallow clone, which does not know them all.
    """
    if _git(rootdir, "rev-parse", "--is-shallow-repository").strip() == "true":
        raise ConfigError(
            "the history here is cut off (a shallow clone), so nobody can tell who wrote what is new, and those must not "
            "approve it. Fetch all of it: git fetch --unshallow (actions/checkout: fetch-depth: 0; GitLab: GIT_DEPTH: 0)."
        )
    new = _addresses(rootdir, f"{since}..HEAD") if since and knows(rootdir, since) else ()
    return new or _addresses(rootdir, f"-{LAST}", "HEAD")


def _addresses(rootdir: Path, *which: str) -> tuple[str, ...]:
    log = _git(rootdir, "-c", "log.mailmap=false", "log", f"--format={_AUTHORS}", *which, "--")
    found = ((_ADDRESS.search(part), part.strip()) for part in log.split("\0"))
    return tuple(sorted({(match[1] if match else text).lower() for match, text in found if text}))


def _git(rootdir: Path, *arguments: str) -> str:
    found = _run(rootdir, *arguments)
    if found.returncode > 1 or (found.returncode and found.stderr):
        said = found.stderr.strip().splitlines() or [f"it ended with {found.returncode}"]
        raise ConfigError(f"a bundle names a commit, and git does not tell which: {said[0].removeprefix('fatal: ')}.")
    return found.stdout


def _run(rootdir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        # S603, S607: git is found on PATH as everywhere, and no shell sees the words.
        return subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            cwd=rootdir,
            env=without_signing_key(os.environ) | _QUIET,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        raise ConfigError("a bundle names a commit, and there is no git on PATH.") from None
