"""A git reference as a small shared store: a tree of files that moves on by compare-and-swap, here and on a remote."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_gaia.errors import ConfigError, DeployUnavailable
from pytest_gaia.system.git import git, said

_NONE = "0" * 40
_AUTHOR = {
    "GIT_AUTHOR_NAME": "gaia",
    "GIT_AUTHOR_EMAIL": "gaia@localhost",
    "GIT_COMMITTER_NAME": "gaia",
    "GIT_COMMITTER_EMAIL": "gaia@localhost",
}
_OVERTAKEN = (b"stale info", b"cannot lock ref", b"fetch first", b"incorrect old value", b"failed to update ref")
"""how git says that a reference is no longer where it was"""
_TIMEOUT = 60
"""seconds for one git command; only those that talk to a remote come near it"""


class Taken(Exception):
    """Somebody else has moved it on in the meantime."""


@dataclass(frozen=True, slots=True)
class GitReference:
    """A reference such as ``refs/gaia/ledger`` of the repository around ``rootdir``, shared through ``remote``.

    Its methods raise ``ConfigError`` where there is no repository or git refuses, ``DeployUnavailable`` where the remote
    is out of reach.
    """

    rootdir: Path
    reference: str
    remote: str | None = None

    @property
    def name(self) -> str:
        """Its name, as messages show it."""
        return f"{self.remote}:{self.reference}" if self.remote else self.reference

    def fetch(self) -> str:
        """Bring the remote's state here, if there is a remote; return the commit, '' where there is none yet."""
        if self.remote:
            found = self._run("ls-remote", "--exit-code", self.remote, self.reference)
            if found.returncode == 0:
                self._git("fetch", "--quiet", "--no-tags", self.remote, f"+{self.reference}:{self.reference}")
            elif found.returncode != 2:
                raise self._out_of_reach(found)
        tip = self._run("rev-parse", "--verify", "--quiet", f"{self.reference}^{{commit}}")
        if tip.returncode > 1:
            raise self._error(tip)
        return tip.stdout.decode().strip()

    def files(self, commit: str) -> dict[str, bytes]:
        """Return name → content of every file of ``commit``, by name; nothing for ''."""
        return {name: self.file(commit, name) for name in self.names(commit)}

    def names(self, commit: str) -> list[str]:
        """Return the names of the files of ``commit``, sorted; none for ''."""
        return sorted(self._git("ls-tree", "--name-only", commit).decode().split()) if commit else []

    def file(self, commit: str, name: str) -> bytes:
        """Return the content of one file of ``commit``."""
        return self._git("cat-file", "blob", f"{commit}:{name}")

    def put(self, commit: str, files: Mapping[str, bytes], message: str) -> None:
        """Add or replace ``files`` on top of ``commit``; raises :class:`Taken` if it is no longer the newest."""
        listing = dict(
            line.split("\t")[::-1] for line in (self._git("ls-tree", commit).decode().splitlines() if commit else ())
        )
        for name, content in files.items():
            blob = self._git("hash-object", "-w", "--stdin", given=content).decode().strip()
            listing[name] = f"100644 blob {blob}"
        entries = "".join(f"{entry}\t{name}\n" for name, entry in listing.items())
        tree = self._git("mktree", given=entries.encode()).decode().strip()
        parents = ("-p", commit) if commit else ()
        new = self._git("commit-tree", tree, *parents, "-m", message).decode().strip()
        if self.remote:
            # From here on it is there for everybody; what this clone has of it comes with the next fetch.
            self._push(self.remote, new, commit)
        elif self._run("update-ref", self.reference, new, commit or _NONE).returncode:
            raise Taken

    def _push(self, remote: str, new: str, expected: str) -> None:
        lease = f"--force-with-lease={self.reference}:{expected}"
        found = self._run("push", "--quiet", "--porcelain", lease, remote, f"{new}:{self.reference}")
        answer = found.stdout + found.stderr
        if found.returncode and any(word in answer for word in _OVERTAKEN):
            raise Taken
        if found.returncode:
            raise self._out_of_reach(found)

    def _git(self, *arguments: str, given: bytes | None = None) -> bytes:
        found = self._run(*arguments, given=given)
        if found.returncode:
            raise self._error(found)
        return found.stdout

    def _run(self, *arguments: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        try:
            return git(self.rootdir, *arguments, given=given or b"", environ=_AUTHOR, seconds=_TIMEOUT)
        except FileNotFoundError:
            raise ConfigError(f"{self.name}: it is kept in git, and git is not installed.") from None
        except subprocess.TimeoutExpired:
            raise DeployUnavailable(f"{self.name}: git did not answer within {_TIMEOUT} s.") from None

    def _error(self, found: subprocess.CompletedProcess[bytes]) -> ConfigError:
        return ConfigError(f"{self.name}: git: {said(found)}. Nothing was changed.")

    def _out_of_reach(self, found: subprocess.CompletedProcess[bytes]) -> DeployUnavailable:
        return DeployUnavailable(
            f"{self.name}: the remote is out of reach: {said(found)}. Nothing was changed; try again."
        )
