"""Information from git about a release: its commit, changes outside of the commit, and the authors of new commits."""

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from subprocess import CompletedProcess

from pytest_gaia.errors import ConfigError
from pytest_gaia.system.processes import git, said

LAST = 50
"""number of commits whose authors count if nothing was released yet"""

_AS_IT_IS = {"GIT_GRAFT_FILE": os.devnull}
"""ignore grafts, with which a clone can change the parents of commits"""
_AUTHORS = "%ae%x00%(trailers:key=Co-authored-by,valueonly,separator=%x00)%x00"
_ADDRESS = re.compile(r"<([^<>]*)>\s*$")


_SETTINGS = (
    *("gaia.toml", "conftest.py", "pyproject.toml", "pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini"),
    *("tox.ini", "setup.cfg", ".coveragerc"),
)
"""files that pytest and its plugins read in the folder of the project and in its parents"""
_READ = (".py", ".pyc", ".so", ".pyd", ".pth", ".toml", ".ini", ".cfg", ".coveragerc")
"""suffixes of files with code or settings"""
_REGULAR = ("100644", "100755")
"""modes of files that are not links"""
_IMPORTABLE = (*(f":(glob)*{ending}" for ending in _READ), ":(glob)*/__init__.py")
"""files that Python imports from the folder of the project, before installed packages"""


@dataclass(frozen=True, slots=True)
class Commit:
    """The commit of a working tree."""

    id: str
    changed: tuple[str, ...] = ()
    """files that differ from the commit, and new files that are not ignored"""


def head(rootdir: Path, *, beside: Sequence[str] = ()) -> Commit:
    """Return the commit that is checked out around ``rootdir``.

    ``beside`` lists folders (relative to ``rootdir``) whose files are not part of a release. Raises ``ConfigError``
    outside of a repository, in a repository without a commit, and without git.
    """
    commit = _git(rootdir, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip()
    if not commit:
        raise ConfigError("a release needs a commit, and this repository has none: commit, then try again.")
    left_out = (f":(exclude){folder}" for folder in beside)
    status = _git(rootdir, "-c", "core.quotePath=false", "status", "--porcelain", "--", ":/", *left_out)
    return Commit(commit, tuple(line[3:] for line in status.splitlines()))


def strays(rootdir: Path, commit: str, *, beside: Sequence[str], folders: Sequence[str]) -> dict[str, str]:
    """Return the files of a run that differ from ``commit``: file → ``is gone``, or the difference with its SHA-256.

    This covers changed files of ``commit`` in the project, new files with code or settings, and all new files in
    ``folders`` (relative to ``rootdir``). Ignored files count if a run would load them as code or settings: in
    ``folders``, and next to gaia.toml. ``beside`` is as for :func:`head`.

    Raises ``ConfigError`` if the repository does not have ``commit``.
    """
    top = _top(rootdir)
    within = PurePosixPath(_git(rootdir, "rev-parse", "--show-prefix").strip())
    settings = [f":(top){folder / name}" for folder in (within, *within.parents) for name in _SETTINGS]
    where = [".", *folders, *settings, *(f":(exclude){folder}" for folder in beside)]
    with tempfile.TemporaryDirectory(prefix="gaia-index-") as folder:
        # A separate index, because the one of the working tree can hide changes (--assume-unchanged).
        index = {"GIT_INDEX_FILE": os.path.join(folder, "index")}  # noqa: PTH118 - git needs a string
        if _run(rootdir, "read-tree", commit, environ=index).returncode:
            raise ConfigError(
                f"commit {commit[:12]} of the release is not in this repository, so the suites cannot be compared with the "
                "release. Fetch the commit (git fetch), and check it out."
            )
        held = _listed(rootdir, index, "ls-files", "--stage", "--full-name", "-z", "--", *where)
        changed = _listed(rootdir, index, "diff", "--no-ext-diff", "--ignore-submodules=none", "--name-only", "--no-renames", "-z", "--", *where)  # fmt: skip
        others = ("ls-files", "--others", "--full-name", "-z")
        new = _listed(rootdir, index, *others, "--exclude-standard", "--", *where)
        ignored = _listed(rootdir, index, *others, "--", *folders, *settings, *_IMPORTABLE)
    inside = tuple(f"{os.path.relpath(rootdir / folder, top)}/" for folder in folders)
    changed += [name for name in _disguised(top, held) if name not in changed]
    new = [name for name in new if name.endswith(_READ) or name.startswith(inside)]
    new += [name for name in ignored if name.endswith(_READ) and "__pycache__/" not in name]
    return {name: _state(top / name, "was changed") for name in changed} | {
        name: _state(top / name, "is new") for name in sorted(set(new))
    }


def is_inside(path: Path, folder: Path) -> bool:
    """Whether ``path`` is ``folder`` or below it, links followed."""
    return path.resolve().is_relative_to(folder.resolve())


def _top(rootdir: Path) -> Path:
    """Return the folder of the working tree. Raises ``ConfigError`` if it does not contain ``rootdir``."""
    top = Path(_git(rootdir, "rev-parse", "--show-toplevel").removesuffix("\n"))
    if not is_inside(rootdir, top):
        raise ConfigError(
            f"git uses the working tree {top}, but the project is in {rootdir}, so the suites cannot be compared with the "
            "release. Unset GIT_DIR, GIT_WORK_TREE and core.worktree (git config --unset core.worktree)."
        )
    return top


def _disguised(top: Path, held: Sequence[str]) -> list[str]:
    """Return the Python files of ``held`` (output of ``git ls-files --stage``) that differ, without filters.

    git compares files after its filters, and each clone can define its own. Line ends may differ.
    """
    found = []
    for line in held:
        (mode, blob, _), name = line.partition("\t")[0].split(), line.partition("\t")[2]
        path = top / name
        if name.endswith(".py") and mode in _REGULAR and path.is_file():
            content = path.read_bytes()
            if blob not in (_blob(content, blob), _blob(content.replace(b"\r\n", b"\n"), blob)):
                found.append(name)
    return found


def _blob(content: bytes, like: str) -> str:
    """Return the object ID of a file with ``content``, with the hash algorithm of ``like``."""
    # S324: git uses this hash.
    new = hashlib.sha1 if len(like) == 2 * hashlib.sha1().digest_size else hashlib.sha256  # noqa: S324
    return new(b"blob %d\0%b" % (len(content), content)).hexdigest()


def knows(rootdir: Path, commit: str) -> bool:
    """Whether the repository around ``rootdir`` has ``commit``."""
    return _run(rootdir, "cat-file", "-e", f"{commit}^{{commit}}").returncode == 0


def committed(rootdir: Path, commit: str, file: str) -> str | None:
    """Return the text of ``file`` (in ``rootdir`` or below) in ``commit``; None if it is unknown."""
    found = _run(rootdir, "cat-file", "blob", f"{commit}:./{file}")
    return None if found.returncode else _text(found.stdout)


def authors(rootdir: Path, since: str | None = None) -> tuple[str, ...]:
    """Return the authors and co-authors of the commits after ``since``, as lower-case email addresses.

    If there are none, or ``since`` is unknown, return those of the last :data:`LAST` commits: without an author, anyone
    could approve. A mailmap is ignored, because it can replace one address by another.

    Raises ``ConfigError`` in a shallow clone, which lacks commits.
    """
    if _git(rootdir, "rev-parse", "--is-shallow-repository").strip() == "true":
        raise ConfigError(
            "this repository is a shallow clone, so the authors of the release, who must not approve it, are unknown. Fetch "
            "the full history: git fetch --unshallow (actions/checkout: fetch-depth: 0; GitLab: GIT_DEPTH: 0)."
        )
    new = _addresses(rootdir, f"{since}..HEAD") if since and knows(rootdir, since) else ()
    return new or _addresses(rootdir, f"-{LAST}", "HEAD")


def _addresses(rootdir: Path, *which: str) -> tuple[str, ...]:
    log = _git(rootdir, "-c", "log.mailmap=false", "log", f"--format={_AUTHORS}", *which, "--")
    found = ((_ADDRESS.search(part), part.strip()) for part in log.split("\0"))
    return tuple(sorted({(match[1] if match else text).lower() for match, text in found if text}))


def _git(rootdir: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> str:
    found = _run(rootdir, *arguments, environ=environ)
    if found.returncode > 1 or (found.returncode and found.stderr):
        raise ConfigError(f"a release needs a commit, and git reports none: {said(found, 0)}.")
    return _text(found.stdout)


def _listed(rootdir: Path, index: Mapping[str, str], *arguments: str) -> list[str]:
    return [name for name in _git(rootdir, *arguments, environ=index).split("\0") if name]


def _state(path: Path, how: str) -> str:
    """Return how a file differs, with a hash of its content, so that two states are distinguishable."""
    try:
        content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
    except OSError:
        return f"{how} (a folder)" if path.is_dir() else "is gone"
    return f"{how} ({hashlib.sha256(content).hexdigest()[:12]})"


def _run(rootdir: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> CompletedProcess[bytes]:
    try:
        return git(rootdir, *arguments, environ=_AS_IT_IS | dict(environ or {}))
    except FileNotFoundError:
        raise ConfigError("a release needs a commit, and git is not on PATH. Install git.") from None


def _text(content: bytes) -> str:
    return content.decode(errors="replace").replace("\r\n", "\n")
