"""Writing keys: a new pair, and the file by which the project trusts a public one. Nothing is ever written over."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.keys import key_id, raw_public, require_cryptography, trusted_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def create_pair(private: Path, trust: Callable[[str], Path]) -> Path:
    """Make a pair: the private key as PKCS#8 (PEM, readable by its owner alone) at ``private``; ``trust`` gets the other.

    Returns what ``trust`` does. Raises ``ConfigError`` where a file is in the way; then neither is left behind.
    """
    require_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    _write_new(private, text, 0o600)
    try:
        return trust(public)
    except BaseException:
        with suppress(OSError):
            private.unlink()
        raise


def write_trusted(folder: Path, name: str, public_key: str, roles: Sequence[str], identities: Sequence[str]) -> Path:
    """Write ``folder/NAME.toml``; return its path.

    Raises ``ConfigError`` for what is no public Ed25519 key, for one that is trusted already, for a name that is taken,
    and for an identity that is no e-mail address.
    """
    check_name(name)
    if strange := [each for each in identities if not re.fullmatch(r"[^@\s]+@[^@\s]+", each)]:
        raise ConfigError(f"--identity {strange[0]}: no e-mail address, such as stands in commits.")
    try:
        raw = raw_public(public_key)
    except ValueError as error:
        raise ConfigError(f"the public key of {name}: {error}.") from None
    if same := [key.name for key in trusted_keys(folder) if key.keyid == key_id(raw)]:
        raise ConfigError(
            f"this key is trusted already, as {same[0]}: add what is new to {folder.name}/{same[0]}.toml."
        )
    path = folder / f"{name}.toml"
    # What JSON writes of texts and lists of them is TOML as well.
    text = "".join(
        f"{key} = {json.dumps(value)}\n"
        for key, value in (("public_key", public_key.strip()), ("roles", list(roles)), ("identities", list(identities)))
    )
    _write_new(path, text.encode(), 0o644)
    return path


def check_name(name: str) -> None:
    """Raise ``ConfigError`` for what cannot be the name of a key."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise ConfigError(f"{name!r}: the name of a key is lower-case letters, digits and '-'.")


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        with suppress(FileExistsError):
            path.parent.mkdir(parents=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise ConfigError(f"{path}: is there already; a key is not written over. Choose another name.") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        path.unlink()
        raise ConfigError(f"{path}: cannot be written: {error.strerror}.") from None
