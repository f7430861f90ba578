"""Keys, ledgers and releases, as real ones as there are."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from pytest_gaia.promotion.ledger.keys import SigningKey, signing_key, trusted_keys
from pytest_gaia.promotion.ledger.ledger import Ledger
from pytest_gaia.promotion.ledger.stores import FolderStore

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Keyring:
    """A folder of trusted keys, and the private ones to them."""

    folder: Path

    def make(self, name: str, *roles: str, identities: tuple[str, ...] = (), extra: str = "") -> SigningKey:
        """Make a key pair, and trust it."""
        return self._trust(self.private_pem(), name, roles, identities, extra)

    def make_pem(self, name: str, *roles: str) -> str:
        """Make a key pair, trust it, and return the private key."""
        pem = self.private_pem()
        self._trust(pem, name, roles)
        return pem

    def _trust(
        self, pem: str, name: str, roles: tuple[str, ...], identities: tuple[str, ...] = (), extra: str = ""
    ) -> SigningKey:
        key = signing_key({"GAIA_SIGNING_KEY": pem})
        assert key is not None
        public = key._private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        self.folder.mkdir(exist_ok=True)
        text = f'public_key = """{public}"""\nroles = {list(roles)}\nidentities = {list(identities)}\n{extra}\n'
        (self.folder / f"{name}.toml").write_text(text)
        return key

    def public_pem(self, name: str) -> str:
        """Return the public key of a trusted pair."""
        public: str = tomllib.loads((self.folder / f"{name}.toml").read_text())["public_key"]
        return public

    @staticmethod
    def private_pem() -> str:
        """Return a new private key that is not trusted yet."""
        key = Ed25519PrivateKey.generate()
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def ledger(self, folder: Path) -> Ledger:
        """Return the ledger in ``folder``, read with the keys that are trusted now."""
        return Ledger(FolderStore(folder, folder.name), trusted_keys(self.folder))


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "keys")
