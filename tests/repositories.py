"""Git repositories for tests, independent of the git configuration of the machine."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

AUTHOR = "Dev <dev@example.org>"


class Repository:
    """A repository in ``folder``; one call writes and commits files."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        for name in [each for each in os.environ if each.startswith("GIT_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.name", "Committer")
        self.git("config", "user.email", "committer@example.org")

    def git(self, *arguments: str) -> str:
        """Run git there, and return its output."""
        done = subprocess.run(["git", *arguments], cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def write(self, name: str, text: str = "") -> Path:
        """Write one file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def commit(self, message: str = "change", author: str = AUTHOR) -> str:
        """Commit all files, and return the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", f"--author={author}", f"--message={message}")
        return self.git("rev-parse", "HEAD")
