"""A project whose one stage is deployed by an executable of its own: everything that a promotion needs, and fast."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote._journal import Journal, Mark
from pytest_gaia.promotion.release.kept import Component, Release, keep_release
from pytest_gaia.system.processes import DIRTY
from tests.repositories import Repository

if TYPE_CHECKING:
    from pytest_gaia.promotion.ledger.ledger import Entry
    from tests.plugin.deployer import Deployer

IGNORED = ".gaia/\n__pycache__/\nci/calls\nci/*.json\nsuites/local/\n"
DIGEST = f"sha256:{'a' * 64}"
GAIA = Path(sys.executable).with_name("gaia")


class Promotable:
    """The project, its release, and what a promotion of it left behind."""

    def __init__(self, deployer: Deployer, repository: Repository) -> None:
        self.deployer = deployer
        self.rootdir = deployer.project.path
        self.repository = repository
        repository.write(".gitignore", IGNORED)
        # What tests write into the project later differs from the commit, as in a working tree with changes.
        self.release = self.create_release(DIRTY)

    def create_release(self, dirty: str = "") -> Release:
        """Commit all that is there, and make its release."""
        self.release = keep_release(
            self.rootdir,
            Release(
                created="2026-11-02T09:00:00+00:00",
                kind="registry",
                commit=self.repository.commit("a release") + dirty,
                authors=("dev@example.org",),
                components=(Component("gateway", f"registry/gateway@{DIGEST}", DIGEST),),
            ),
            {},
        )
        return self.release

    def configure(self, text: str) -> None:
        """Add settings to gaia.toml."""
        with (self.rootdir / "gaia.toml").open("a", encoding="utf-8") as file:
            file.write(text)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line."""
        return [str(GAIA), "promote", "stage", self.release.short, *arguments]

    def promote(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.command(*arguments), cwd=self.rootdir, capture_output=True, text=True, timeout=120, check=False
        )

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Begin one that a test is going to end."""
        return subprocess.Popen(
            self.command(*arguments), cwd=self.rootdir, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The ledger."""
        return Promotion.here(self.rootdir, os.environ).ledger.entries()

    @property
    def kinds(self) -> list[str]:
        """The types of what is in the ledger, without the word for a predicate."""
        return [type(entry.predicate).__name__.removesuffix("Predicate") for entry in self.entries]

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The journal."""
        return Journal(self.rootdir, "stage").marks()

    def predicate(self, kind: type[Any]) -> Any:
        """Return the newest predicate of a type."""
        return [entry.predicate for entry in self.entries if isinstance(entry.predicate, kind)][-1]

    def runs(self) -> str:
        """Return the digest that runs."""
        return str(json.loads((self.deployer.folder / "state.json").read_text())["digest"])


@pytest.fixture
def promotable(deployer: Deployer, monkeypatch: pytest.MonkeyPatch) -> Promotable:
    """A project with two tests, and one stage ``stage``, which runs another image than the release's."""
    return Promotable(deployer, Repository(deployer.project.path, monkeypatch))
