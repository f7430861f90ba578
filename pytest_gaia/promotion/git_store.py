"""The ledger in a git reference: one commit an entry, moved on by compare-and-swap, shared by a push that must not lose."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from pytest_gaia.errors import ConfigError, DeployUnavailable
from pytest_gaia.promotion.stores import Taken

if TYPE_CHECKING:
    from pathlib import Path

_NONE = "0" * 40
_AUTHOR = {
    "GIT_AUTHOR_NAME": "gaia",
    "GIT_AUTHOR_EMAIL": "gaia@localhost",
    "GIT_COMMITTER_NAME": "gaia",
    "GIT_COMMITTER_EMAIL": "gaia@localhost",
    # No question is ever asked of a terminal: a CI job would hang on it.
    "GIT_TERMINAL_PROMPT": "0",
}
_TIMEOUT = 60
"""seconds for one git command; only those that talk to a remote come near it"""


class GitStore:
    """Entries as files ``NNNNNN.json`` in the tree of a reference such as ``refs/gaia/ledger``.

    Raises ``ConfigError`` where there is no repository or git refuses, ``DeployUnavailable`` where the remote is out of
    reach.
    """

    def __init__(self, rootdir: Path, reference: str, remote: str | None = None) -> None:
        self.rootdir = rootdir
        self.reference = reference
        self.remote = remote
        self.name = f"{remote}:{reference}" if remote else reference

    def read(self) -> dict[int, bytes]:
        """Return number → envelope, from the remote where there is one."""
        if self.remote:
            self._fetch(self.remote)
        if not self._tip():
            return {}
        names = self._git("ls-tree", "--name-only", self.reference).decode().split()
        return {int(name[:6]): self._git("cat-file", "blob", f"{self.reference}:{name}") for name in sorted(names)}

    def add(self, number: int, content: bytes) -> None:
        """Commit one more entry; another process or machine that was faster makes it :class:`Taken`."""
        tip, name = self._tip(), f"{number:06}.json"
        listing = self._git("ls-tree", tip).decode() if tip else ""
        if f"\t{name}" in listing:
            raise Taken
        blob = self._git("hash-object", "-w", "--stdin", given=content).decode().strip()
        tree = self._git("mktree", given=f"{listing}100644 blob {blob}\t{name}\n".encode()).decode().strip()
        parents = ("-p", tip) if tip else ()
        commit = self._git("commit-tree", tree, *parents, "-m", f"ledger entry {number}").decode().strip()
        if self.remote:
            self._push(self.remote, commit, tip)
        self._move(commit, tip)

    def _tip(self) -> str:
        found = self._run("rev-parse", "--verify", "--quiet", f"{self.reference}^{{commit}}")
        if found.returncode > 1:
            raise self._error(found)
        return found.stdout.decode().strip()

    def _fetch(self, remote: str) -> None:
        found = self._run("ls-remote", "--exit-code", remote, self.reference)
        if found.returncode == 2:
            return
        if found.returncode:
            raise self._out_of_reach(found)
        self._git("fetch", "--quiet", "--no-tags", remote, f"+{self.reference}:{self.reference}")

    def _push(self, remote: str, commit: str, tip: str) -> None:
        lease = f"--force-with-lease={self.reference}:{tip}"
        found = self._run("push", "--quiet", "--porcelain", lease, remote, f"{commit}:{self.reference}")
        if found.returncode and b"stale info" in found.stdout + found.stderr:
            raise Taken
        if found.returncode:
            raise self._out_of_reach(found)

    def _move(self, commit: str, tip: str) -> None:
        if self._run("update-ref", self.reference, commit, tip or _NONE).returncode:
            raise Taken

    def _git(self, *arguments: str, given: bytes | None = None) -> bytes:
        found = self._run(*arguments, given=given)
        if found.returncode:
            raise self._error(found)
        return found.stdout

    def _run(self, *arguments: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        command = ["git", "-C", str(self.rootdir), *arguments]
        try:
            # S603: the words come from settings, and no shell sees them.
            return subprocess.run(  # noqa: S603
                command,
                input=given or b"",
                capture_output=True,
                env=os.environ | _AUTHOR,
                timeout=_TIMEOUT,
                check=False,
            )
        except FileNotFoundError:
            raise ConfigError(f"{self.name}: the ledger is in git, and git is not installed.") from None
        except subprocess.TimeoutExpired:
            raise DeployUnavailable(f"{self.name}: git did not answer within {_TIMEOUT} s.") from None

    def _error(self, found: subprocess.CompletedProcess[bytes]) -> ConfigError:
        return ConfigError(f"{self.name}: the ledger in git: {_last_line(found)}. Nothing was changed.")

    def _out_of_reach(self, found: subprocess.CompletedProcess[bytes]) -> DeployUnavailable:
        return DeployUnavailable(
            f"{self.name}: the shared ledger is out of reach: {_last_line(found)}. Nothing was changed; try again."
        )


def _last_line(found: subprocess.CompletedProcess[bytes]) -> str:
    lines = found.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("fatal: ").rstrip(".") if lines else f"git ended with {found.returncode}"
