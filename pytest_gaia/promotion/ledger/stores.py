"""Stores of envelopes: a folder with one file per entry, or a git reference with one commit per entry.

The reference is a small shared store: a tree of files, updated by compare-and-swap, locally or on a remote.
"""

import os
import re
import secrets
import subprocess
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pytest_gaia.errors import ConfigError, DeployUnavailable
from pytest_gaia.files.writing import make_folder
from pytest_gaia.system.processes import git, said

_NONE = "0" * 40
_AUTHOR = {
    "GIT_AUTHOR_NAME": "gaia",
    "GIT_AUTHOR_EMAIL": "gaia@localhost",
    "GIT_COMMITTER_NAME": "gaia",
    "GIT_COMMITTER_EMAIL": "gaia@localhost",
}
_OVERTAKEN = (b"stale info", b"cannot lock ref", b"fetch first", b"incorrect old value", b"failed to update ref")
"""parts of git's error messages for a reference that has changed"""
_TIMEOUT = 60
"""seconds for one git command; only commands that use a remote take long"""


class Taken(Exception):
    """Another process updated the store in the meantime."""


@dataclass(frozen=True, slots=True)
class GitReference:
    """A reference such as ``refs/gaia/ledger`` of the repository around ``rootdir``, shared through ``remote``.

    The methods raise ``ConfigError`` if there is no repository or git fails, and ``DeployUnavailable`` if the remote is
    unreachable.
    """

    rootdir: Path
    reference: str
    remote: str | None = None

    @property
    def name(self) -> str:
        """The name for messages."""
        return f"{self.remote}:{self.reference}" if self.remote else self.reference

    def fetch(self) -> str:
        """Fetch the state of the remote, if there is one. Return the commit, or '' if there is none yet."""
        if self.remote:
            found = self._run("ls-remote", "--exit-code", self.remote, self.reference)
            if found.returncode == 0:
                self._git("fetch", "--quiet", "--no-tags", self.remote, f"+{self.reference}:{self.reference}")
            elif found.returncode != 2:
                raise self._unreachable(found)
        tip = self._run("rev-parse", "--verify", "--quiet", f"{self.reference}^{{commit}}")
        if tip.returncode > 1:
            raise self._error(tip)
        return tip.stdout.decode().strip()

    def files(self, commit: str, names: Collection[str] | None = None) -> dict[str, bytes]:
        """Return name → content of the files in ``commit``, sorted by name; an empty dictionary for ''.

        With ``names``, return only those of them that exist.
        """
        chosen = {name: found for name, found in self.objects(commit).items() if names is None or name in names}
        contents = self.contents(chosen.values())
        return {name: contents[found] for name, found in chosen.items()}

    def names(self, commit: str) -> list[str]:
        """Return the names of the files in ``commit``, sorted; an empty list for ''."""
        return list(self.objects(commit))

    def objects(self, commit: str) -> dict[str, str]:
        """Return name → object ID of the files in ``commit``, sorted by name; an empty dictionary for ''."""
        return {name: entry.split()[2] for name, entry in sorted(self._listing(commit).items())}

    def contents(self, objects: Iterable[str]) -> dict[str, bytes]:
        """Return object ID → content of files. One process of git reads all of them."""
        wanted = list(dict.fromkeys(objects))
        given = "".join(f"{each}\n" for each in wanted)
        output = self._git("cat-file", "--batch", given=given.encode()) if wanted else b""
        found: dict[str, bytes] = {}
        at = 0
        for each in wanted:
            # "<object> <type> <size>", the content, and the end of its line; or "<object> missing"
            begin = output.index(b"\n", at) + 1
            kind, _, size = output[at:begin].decode().removeprefix(each).strip().partition(" ")
            if kind != "blob":
                raise ConfigError(f"{self.name}: git: the object {each} is not a file: {kind}. Nothing was changed.")
            at = begin + int(size) + 1
            found[each] = output[begin : at - 1]
        return found

    def put(self, commit: str, files: Mapping[str, bytes], message: str) -> None:
        """Add or replace ``files`` on top of ``commit``. Raises :class:`Taken` if it is no longer the newest."""
        listing = self._listing(commit)
        for name, content in files.items():
            blob = self._git("hash-object", "-w", "--stdin", given=content).decode().strip()
            listing[name] = f"100644 blob {blob}"
        entries = "".join(f"{entry}\t{name}\n" for name, entry in listing.items())
        tree = self._git("mktree", given=entries.encode()).decode().strip()
        parents = ("-p", commit) if commit else ()
        new = self._git("commit-tree", tree, *parents, "-m", message).decode().strip()
        if self.remote:
            # Only the remote is updated. The next fetch updates this clone.
            self._push(self.remote, new, commit)
        elif self._run("update-ref", self.reference, new, commit or _NONE).returncode:
            raise Taken

    def _listing(self, commit: str) -> dict[str, str]:
        """Return name → "<mode> <type> <object>" of the entries of the tree of ``commit``."""
        lines = self._git("ls-tree", commit).decode().splitlines() if commit else ()
        return {name: entry for entry, _, name in (line.partition("\t") for line in lines)}

    def _push(self, remote: str, new: str, expected: str) -> None:
        lease = f"--force-with-lease={self.reference}:{expected}"
        found = self._run("push", "--quiet", "--porcelain", lease, remote, f"{new}:{self.reference}")
        output = found.stdout + found.stderr
        if found.returncode and any(word in output for word in _OVERTAKEN):
            raise Taken
        if found.returncode:
            raise self._unreachable(found)

    def _git(self, *arguments: str, given: bytes | None = None) -> bytes:
        found = self._run(*arguments, given=given)
        if found.returncode:
            raise self._error(found)
        return found.stdout

    def _run(self, *arguments: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        try:
            return git(self.rootdir, *arguments, given=given or b"", environ=_AUTHOR, seconds=_TIMEOUT)
        except FileNotFoundError:
            raise ConfigError(f"{self.name}: stored in git, but git is not installed.") from None
        except subprocess.TimeoutExpired:
            raise DeployUnavailable(f"{self.name}: git timed out after {_TIMEOUT} s.") from None

    def _error(self, found: subprocess.CompletedProcess[bytes]) -> ConfigError:
        return ConfigError(f"{self.name}: git: {said(found)}. Nothing was changed.")

    def _unreachable(self, found: subprocess.CompletedProcess[bytes]) -> DeployUnavailable:
        return DeployUnavailable(
            f"{self.name}: the remote is unreachable: {said(found)}. Nothing was changed; try again."
        )


_NAME = re.compile(r"(\d{6})\.json")


class FolderStore:
    """One file ``NNNNNN.json`` per entry. Raises ``ConfigError`` if the folder cannot be read or written."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name

    def read(self) -> dict[int, bytes]:
        """Return number → envelope; an empty dictionary if there is no folder yet."""
        try:
            return {number: path.read_bytes() for number, path in sorted(self._paths().items())}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._error("read", error) from None

    def last(self) -> tuple[int, bytes] | None:
        """Return the number and the envelope of the newest entry; None without entries. Reads no other entry."""
        try:
            paths = self._paths()
            return (max(paths), paths[max(paths)].read_bytes()) if paths else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._error("read", error) from None

    def _paths(self) -> dict[int, Path]:
        return {int(match[1]): path for path in self.folder.iterdir() if (match := _NAME.fullmatch(path.name))}

    def add(self, number: int, content: bytes) -> None:
        """Write the entry to a draft first, so that no partial entry is left after a crash or on a full disk."""
        path = self.folder / f"{number:06}.json"
        draft = self.folder / f".{number:06}.{secrets.token_hex(4)}.draft"
        try:
            make_folder(self.folder)
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # A link, unlike a rename, fails if the name exists.
            os.link(draft, path)
            _sync(self.folder)
        except FileExistsError:
            raise Taken from None
        except OSError as error:
            raise self._error("written", error) from None
        finally:
            with suppress(OSError):
                draft.unlink()

    def _error(self, what: str, error: OSError) -> ConfigError:
        return ConfigError(f"{self.name}: the ledger cannot be {what}: {error.strerror}. Nothing was changed.")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class GitStore:
    """Entries as files ``NNNNNN.json`` in the tree of a reference."""

    def __init__(self, reference: GitReference) -> None:
        self.reference = reference
        self.name = reference.name
        self._known: dict[str, bytes] = {}
        """object ID → content; it never changes, because the ID is its hash"""

    def read(self) -> dict[int, bytes]:
        """Return number → envelope, from the remote if there is one."""
        return self._contents(self.reference.objects(self.reference.fetch()))

    def last(self) -> tuple[int, bytes] | None:
        """Return the number and the envelope of the newest entry; None without entries. Reads no other entry."""
        objects = self.reference.objects(self.reference.fetch())
        return next(iter(self._contents(dict(list(objects.items())[-1:])).items()), None)

    def _contents(self, objects: Mapping[str, str]) -> dict[int, bytes]:
        self._known |= self.reference.contents(each for each in objects.values() if each not in self._known)
        return {int(name[:6]): self._known[each] for name, each in objects.items()}

    def add(self, number: int, content: bytes) -> None:
        """Commit one more entry. Raises :class:`Taken` if another process or machine was faster."""
        tip, name = self.reference.fetch(), f"{number:06}.json"
        if name in self.reference.names(tip):
            raise Taken
        self.reference.put(tip, {name: content}, f"ledger entry {number}")


Store: TypeAlias = FolderStore | GitStore
"""a store of numbered entries that are written once"""
