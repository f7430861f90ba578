"""What earlier runs came to: one file a branch and environment, one run a line, as Allure reads and writes it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pytest_gaia.errors import ConfigError

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+|^\.+")
_LONGEST = 80

_BRANCHES = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME", "CHANGE_BRANCH", "BRANCH_NAME")
"""the variables in which GitHub, GitLab and Jenkins say which branch this is, the first one first"""


def branch_of(environ: Mapping[str, str]) -> str | None:
    """Return the branch as CI tells it, or None outside of CI."""
    return next(filter(None, map(environ.get, _BRANCHES)), None)


def history_file(folder: Path, branch: str, environments: Sequence[str]) -> Path:
    """Return the file for runs of ``environments`` on ``branch``. Different names never share one."""
    return folder / safe_name(branch) / f"{safe_name('+'.join(environments) or 'no environment')}.jsonl"


def safe_name(name: str) -> str:
    """Return ``name`` as the name of a file: what is no letter, digit, ``.``, ``_`` or ``-`` is replaced.

    A digest keeps apart what that makes equal, and what differs in case alone.

    >>> safe_name("main")
    'main'
    >>> safe_name("feature/x") == safe_name("feature-x")
    False
    """
    safe = _UNSAFE.sub("-", name)[:_LONGEST]
    if name and safe == name == name.lower():
        return name
    return f"{safe}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def earlier_runs(path: Path, uuids: Iterable[str], *, keep: int) -> str:
    """Return the newest ``keep`` lines of the history at ``path`` that are not about the results ``uuids`` themselves.

    So a report that is made again does not count its run twice. Raises ``ConfigError`` for a history that cannot be
    read, or is none.
    """
    # Allure knows a result by this digest.
    ours = {hashlib.md5(uuid.encode(), usedforsecurity=False).hexdigest() for uuid in uuids}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the history cannot be read: {error}. Move it away, and a new one begins.") from None
    runs = [(line, _ids(path, number, line)) for number, line in enumerate(lines, 1) if line.strip()]
    others = [line for line, ids in runs if not ids or not ids <= ours]
    return "".join(f"{line}\n" for line in others[max(len(others) - keep, 0) :])


def _ids(path: Path, number: int, line: str) -> set[str]:
    try:
        return {str(result["id"]) for result in json.loads(line)["testResults"].values()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError(
            f"{path}:{number}: this line is no run of a history. Delete the line, or move the file away, and a new "
            "history begins."
        ) from None
