"""A project with a release, its keys and its ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pytest_gaia.promotion.release.kept import keep_release
from pytest_gaia.system.processes import KEY_VARIABLE
from tests.promotion.conftest import Keyring
from tests.promotion.pipeline import Pipeline

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from pytest_gaia.promotion.ledger.ledger import Entry

LEDGER = ".gaia/ledger"


class Underway(Pipeline):
    """A release with evidence where the commands read it, up to now."""

    @classmethod
    def of(cls, project: Path) -> Underway:
        """Return a start time early enough for all stages, without expired evidence."""
        begun = datetime.now(UTC) - timedelta(hours=44)
        pipeline = cls(Keyring(project / "keys"), project / LEDGER, now=begun)
        keep_release(project, pipeline.release, {})
        return pipeline

    @property
    def id(self) -> str:
        """The ID of the release, as users type it."""
        return self.release.short

    def hold(self, name: str, monkeypatch: pytest.MonkeyPatch) -> str:
        """Give the commands the private key of ``name``; return its text."""
        text = self.keys[name]._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        monkeypatch.setenv(KEY_VARIABLE, text)
        return text

    def entries(self) -> tuple[Entry, ...]:
        """Read the ledger."""
        return self.keyring.ledger(self.folder).entries()

    def entry_file(self, number: int) -> Path:
        """Return the file of one entry."""
        return self.folder / f"{number:06}.json"
