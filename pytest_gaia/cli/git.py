"""What git knows of files as they were, and of the branch that is checked out."""

from collections.abc import Sequence
from pathlib import Path

from pytest_gaia.errors import ConfigError
from pytest_gaia.system.git import git


def files_at(reference: str, folder: Path, *, rootdir: Path) -> dict[str, str]:
    """Return path (relative to ``rootdir``) → text of the files right below ``folder`` as they were at ``reference``.

    Raises ``ConfigError`` outside of a repository, for an unknown reference, and where there is no git.
    """
    where = folder.relative_to(rootdir).as_posix()
    _git(["rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}"], rootdir, reference)
    listing = _git(["ls-tree", "-z", "--name-only", reference, f"{where}/"], rootdir, reference).decode()
    paths = [path for path in listing.split("\0") if path.endswith(".toml")]
    asked = "".join(f"{reference}:./{path}\n" for path in paths).encode()
    return dict(zip(paths, _contents(_git(["cat-file", "--batch"], rootdir, reference, asked)), strict=True))


def branch_at(rootdir: Path) -> str | None:
    """Return the branch that is checked out; None for a bare commit, outside of a repository, or without git."""
    try:
        done = git(rootdir, "symbolic-ref", "--quiet", "--short", "HEAD")
    except FileNotFoundError:
        return None
    return done.stdout.decode().strip() or None


def _contents(batch: bytes) -> list[str]:
    """Split what ``git cat-file --batch`` answers: a line with the size, the content, a line break."""
    found: list[str] = []
    at = 0
    while at < len(batch):
        end = batch.index(b"\n", at)
        size = int(batch[at:end].rpartition(b" ")[2])
        found.append(batch[end + 1 : end + 1 + size].decode("utf-8-sig"))
        at = end + size + 2
    return found


def _git(arguments: Sequence[str], rootdir: Path, reference: str, given: bytes = b"") -> bytes:
    try:
        done = git(rootdir, *arguments, given=given)
    except FileNotFoundError:
        raise ConfigError("--base: there is no git on PATH.") from None
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip() or "it is no commit of this repository"
        raise ConfigError(f"--base: git does not know {reference!r}: {why}")
    return done.stdout
