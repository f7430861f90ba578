"""Keys: the one that signs, from a variable, and those that are trusted, one file each in the project."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

# At run time, because msgspec reads the annotations.
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_gaia.config.stages import MACHINE_ROLE
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.decoding import TableError, decode
from pytest_gaia.files.toml import key_lines, nearest_line, parse, read_text
from pytest_gaia.promotion.ledger import _sshsig as sshsig
from pytest_gaia.system.processes import KEY_FILE_VARIABLE, KEY_VARIABLE

if TYPE_CHECKING:
    from pytest_gaia.promotion.ledger._ed25519 import PrivateKey


class KeyFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``keys/NAME.toml``: whom the project trusts, and as what."""

    public_key: str
    """PEM (``-----BEGIN PUBLIC KEY-----``) or one line of SSH (``ssh-ed25519 AAAA…``)"""
    roles: tuple[str, ...]
    """such as ``ci``, ``release-manager``, ``security``"""
    identities: tuple[str, ...] = ()
    """e-mail addresses of its owner, as they stand in commits"""
    not_before: datetime | None = None
    not_after: datetime | None = None
    """after this moment it signs nothing; what it signed before stays valid"""
    former_roles: dict[str, datetime] = {}
    """role → until when it had it: what it signed as that until then stays valid"""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key that the project trusts."""

    name: str
    keyid: str
    """SHA-256 (hex) of the key as SubjectPublicKeyInfo in DER"""
    raw: bytes
    roles: tuple[str, ...]
    identities: tuple[str, ...] = ()
    not_before: datetime | None = None
    not_after: datetime | None = None
    former_roles: tuple[tuple[str, datetime], ...] = ()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether this key has signed ``message``, by itself or through ``ssh-keygen -Y sign``."""
        if not signature.startswith(sshsig.MAGIC):
            return _verifies(self.raw, signature, message)
        try:
            found = sshsig.parse(signature)
            signed = found.message(message)
        except ValueError:
            return False
        return (
            found.namespace == sshsig.NAMESPACE
            and found.public == self.raw
            and _verifies(self.raw, found.signature, signed)
        )

    def valid_at(self, moment: datetime) -> bool:
        """Whether the key was in force at ``moment``."""
        begun = self.not_before is None or self.not_before <= moment
        return begun and (self.not_after is None or moment <= self.not_after)

    def at(self, moment: datetime | None) -> TrustedKey | None:
        """Return the key with the roles that it had at ``moment`` (None: has now); None where it was not in force."""
        if moment is None:
            return self
        if not self.valid_at(moment):
            return None
        former = (role for role, until in self.former_roles if moment <= until)
        return replace(self, roles=tuple(dict.fromkeys((*self.roles, *former))))

    @property
    def limits(self) -> str:
        """When it is in force, as its file has it."""
        both = (("not_before", self.not_before), ("not_after", self.not_after))
        return "has " + (", ".join(f"{name} = {moment.isoformat()}" for name, moment in both if moment) or "no limit")

    @property
    def testifies(self) -> bool:
        """Whether what it signs counts as what a machine did."""
        return set(self.roles) == {MACHINE_ROLE}

    def approves(self, role: str, authors: Iterable[str] = ()) -> bool:
        """Whether what it signs counts as the approval of a person in ``role`` who is none of ``authors``."""
        owner = {identity.lower() for identity in self.identities}
        known = bool(owner) and MACHINE_ROLE not in self.roles
        return known and role in self.roles and not owner & {author.lower() for author in authors}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key. It does not show itself."""

    keyid: str
    source: str
    """what named it, for messages"""
    _private: PrivateKey

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature of ``message``."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey({self.keyid[:12]}, from {self.source})"


def signing_key(environ: Mapping[str, str]) -> SigningKey | None:
    """Return the key that ``GAIA_SIGNING_KEY`` holds or ``GAIA_SIGNING_KEY_FILE`` names; None where neither is set.

    Raises ``ConfigError`` for a file that cannot be read and for what is no Ed25519 key; it never shows the key.
    """
    text, source = environ.get(KEY_VARIABLE), KEY_VARIABLE
    if not text:
        name = environ.get(KEY_FILE_VARIABLE)
        if not name:
            return None
        if "PRIVATE KEY" in name:
            # It is not shown, as every message shows the name of a file.
            raise ConfigError(
                f"{KEY_FILE_VARIABLE}: holds a key, not the name of a file; {KEY_VARIABLE} takes its text."
            )
        source = f"{KEY_FILE_VARIABLE}={name}"
        text = read_text(Path(name), source)
    from pytest_gaia.promotion.ledger._ed25519 import load_private

    private = load_private(text, source)
    return SigningKey(key_id(private.public_key().public_bytes_raw()), source, private)


def trusted_keys(folder: Path) -> tuple[TrustedKey, ...]:
    """Return the keys of ``folder``, by name; none where there is no such folder.

    Raises ``ConfigError`` with file and line for a malformed file, and for one key under two names.
    """
    keys: dict[str, TrustedKey] = {}
    for path in sorted(folder.glob("*.toml")):
        key = _read_key(path)
        if key.keyid in keys:
            raise ConfigError(f"{_shown(path)}: the same key as {keys[key.keyid].name}; one key has one name.")
        keys[key.keyid] = key
    return tuple(keys.values())


def key_id(raw: bytes) -> str:
    """Return the id of a raw Ed25519 public key: SHA-256 (hex) of its SubjectPublicKeyInfo in DER (RFC 8410)."""
    return hashlib.sha256(bytes.fromhex("302a300506032b6570032100") + raw).hexdigest()


def _read_key(path: Path) -> TrustedKey:
    name = _shown(path)
    text = read_text(path, name)
    lines = key_lines(text, name) if (document := parse(text, name)) else {}
    try:
        file = decode(document, KeyFile)
    except TableError as error:
        place = f"{name}:{nearest_line(lines, error.key)}"
        raise ConfigError(f"{place}: {'.'.join(error.key) or 'key'}: {error}") from None
    try:
        raw = raw_public(file.public_key)
    except ValueError as error:
        raise ConfigError(f"{name}:{nearest_line(lines, ('public_key',))}: public_key: {error}.") from None
    times: dict[tuple[str, ...], datetime | None] = {("not_before",): file.not_before, ("not_after",): file.not_after}
    times |= {("former_roles", role): until for role, until in file.former_roles.items()}
    for key, moment in times.items():
        if moment is not None and moment.tzinfo is None:
            place = f"{name}:{nearest_line(lines, key)}: {'.'.join(key)}"
            raise ConfigError(f"{place}: say the zone, such as 2027-01-31T00:00:00Z.")
    try:
        check_roles(file.roles)
    except ValueError as error:
        raise ConfigError(f"{name}:{nearest_line(lines, ('roles',))}: roles: the key {path.stem} {error}") from None
    former = tuple(file.former_roles.items())
    return TrustedKey(path.stem, key_id(raw), raw, file.roles, file.identities, file.not_before, file.not_after, former)


def check_roles(roles: Sequence[str]) -> None:
    """Raise ``ValueError`` for roles that one key cannot have together: a machine does not approve what it did."""
    if MACHINE_ROLE in roles and (people := [role for role in roles if role != MACHINE_ROLE]):
        raise ValueError(
            f"has the role {MACHINE_ROLE}, which is one of machines, and {', '.join(people)}, which "
            f"{'is one' if len(people) == 1 else 'are some'} of people. One key has one kind: make a second key "
            "(gaia key generate -h)."
        )


def raw_public(text: str) -> bytes:
    """Return the 32 bytes of an Ed25519 public key, given as PEM or as a line of SSH. Raises ``ValueError``."""
    words = text.split()
    if words[:1] == ["ssh-ed25519"] and len(words) > 1:
        return sshsig.raw_public(base64.b64decode(words[1], validate=True))
    if "PRIVATE" in text:
        raise ValueError("this is a private key; a file that is committed holds the public one")
    from pytest_gaia.promotion.ledger._ed25519 import load_public

    if raw := load_public(text):
        return raw
    raise ValueError("no Ed25519 key: neither PEM (-----BEGIN PUBLIC KEY-----) nor a line that begins with ssh-ed25519")


def _verifies(raw: bytes, signature: bytes, message: bytes) -> bool:
    from pytest_gaia.promotion.ledger._ed25519 import verifies

    return verifies(raw, signature, message)


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
