"""What git knows of a release: its commit, whether that is all of it, and who wrote what is new."""

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from subprocess import CompletedProcess

from pytest_gaia.errors import ConfigError
from pytest_gaia.system.git import git, said

LAST = 50
"""commits whose authors count where nothing was released yet"""

_AS_IT_IS = {"GIT_GRAFT_FILE": os.devnull}
"""what this clone has put beside commits to give them other parents (grafts) is not what they are"""
_AUTHORS = "%ae%x00%(trailers:key=Co-authored-by,valueonly,separator=%x00)%x00"
_ADDRESS = re.compile(r"<([^<>]*)>\s*$")


_SETTINGS = (
    *("gaia.toml", "conftest.py", "pyproject.toml", "pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini"),
    *("tox.ini", "setup.cfg", ".coveragerc"),
)
"""what pytest and its plugins read in the project's folder and in those above it"""
_READ = (".py", ".pyc", ".so", ".pyd", ".pth", ".toml", ".ini", ".cfg", ".coveragerc")
"""endings of files that are code or settings"""
_REGULAR = ("100644", "100755")
"""modes of files that are no links"""
_IMPORTABLE = (*(f":(glob)*{ending}" for ending in _READ), ":(glob)*/__init__.py")
"""what Python finds in the project's folder, before what is installed"""


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
        raise ConfigError("a release names a commit, and there is none here yet: commit, then try again.")
    left_out = (f":(exclude){folder}" for folder in beside)
    status = _git(rootdir, "-c", "core.quotePath=false", "status", "--porcelain", "--", ":/", *left_out)
    return Commit(commit, tuple(line[3:] for line in status.splitlines()))


def strays(rootdir: Path, commit: str, *, beside: Sequence[str], folders: Sequence[str]) -> dict[str, str]:
    """Return what a run reads and ``commit`` does not hold so: file → ``is gone``, or how and the SHA-256 it has now.

    These are all files of ``commit`` in the project that have changed, and new ones that are code or settings; in
    ``folders`` (relative to ``rootdir``) new files of any kind. What git is told to ignore counts where it is code or
    settings that a run would load: in ``folders``, and beside gaia.toml. ``beside`` is as for :func:`head`.

    Raises ``ConfigError`` where the repository does not have ``commit``.
    """
    top = _top(rootdir)
    within = PurePosixPath(_git(rootdir, "rev-parse", "--show-prefix").strip())
    settings = [f":(top){folder / name}" for folder in (within, *within.parents) for name in _SETTINGS]
    where = [".", *folders, *settings, *(f":(exclude){folder}" for folder in beside)]
    with tempfile.TemporaryDirectory(prefix="gaia-index-") as folder:
        # An index of its own: the one of the work tree can be told to look away (--assume-unchanged).
        index = {"GIT_INDEX_FILE": os.path.join(folder, "index")}  # noqa: PTH118 - a text is asked for
        if _run(rootdir, "read-tree", commit, environ=index).returncode:
            raise ConfigError(
                f"commit {commit[:12]} of the release is not in this repository, so nobody can tell whether the suites here "
                "are those of the release. Fetch it (git fetch), and check it out."
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
    """Return the folder of the work tree. Raises ``ConfigError`` where git looks at another one than that of ``rootdir``."""
    top = Path(_git(rootdir, "rev-parse", "--show-toplevel").removesuffix("\n"))
    if not is_inside(rootdir, top):
        raise ConfigError(
            f"git looks at {top}, and the project is in {rootdir}, so nobody can tell whether the suites here are those of "
            "the release. Unset GIT_DIR, GIT_WORK_TREE and core.worktree (git config --unset core.worktree)."
        )
    return top


def _disguised(top: Path, held: Sequence[str]) -> list[str]:
    """Return which Python files of ``held`` (as of ``git ls-files --stage``) differ, whatever filters this clone has for them.

    What git compares has gone through filters, which a clone can set up for itself. Line ends may differ.
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
    """Return the name that git has for a file of ``content``, by the same hash as ``like``."""
    # S324: it is the hash that git uses.
    new = hashlib.sha1 if len(like) == 2 * hashlib.sha1().digest_size else hashlib.sha256  # noqa: S324
    return new(b"blob %d\0%b" % (len(content), content)).hexdigest()


def knows(rootdir: Path, commit: str) -> bool:
    """Whether the repository around ``rootdir`` has ``commit``."""
    return _run(rootdir, "cat-file", "-e", f"{commit}^{{commit}}").returncode == 0


def committed(rootdir: Path, commit: str, file: str) -> str | None:
    """Return the text of ``file`` (beside or below ``rootdir``) as ``commit`` has it; None where that is not known."""
    found = _run(rootdir, "cat-file", "blob", f"{commit}:./{file}")
    return None if found.returncode else _text(found.stdout)


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


def _git(rootdir: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> str:
    found = _run(rootdir, *arguments, environ=environ)
    if found.returncode > 1 or (found.returncode and found.stderr):
        raise ConfigError(f"a release names a commit, and git does not tell which: {said(found, 0)}.")
    return _text(found.stdout)


def _listed(rootdir: Path, index: Mapping[str, str], *arguments: str) -> list[str]:
    return [name for name in _git(rootdir, *arguments, environ=index).split("\0") if name]


def _state(path: Path, how: str) -> str:
    """Return how a file differs, with what it holds, so that two states of it can be told apart."""
    try:
        content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
    except OSError:
        return f"{how} (a folder)" if path.is_dir() else "is gone"
    return f"{how} ({hashlib.sha256(content).hexdigest()[:12]})"


def _run(rootdir: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> CompletedProcess[bytes]:
    try:
        return git(rootdir, *arguments, environ=_AS_IT_IS | dict(environ or {}))
    except FileNotFoundError:
        raise ConfigError("a release names a commit, and there is no git on PATH.") from None


def _text(content: bytes) -> str:
    return content.decode(errors="replace").replace("\r\n", "\n")
