"""The signing key, from an environment variable, and the trusted keys, from one file each in the project."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

# Imported at run time, because msgspec reads the annotations.
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec import MsgspecError, Struct
from msgspec.json import decode as decode_json

from pytest_gaia.config.stages import MACHINE_ROLE
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.decoding import TableError, decode
from pytest_gaia.files.toml import key_lines, nearest_line, parse, read_text
from pytest_gaia.promotion.ledger import _signatures as signatures
from pytest_gaia.system.processes import KEY_FILE_VARIABLE, KEY_VARIABLE
from pytest_gaia.verdict.results_log import time_of

if TYPE_CHECKING:
    from pytest_gaia.promotion.ledger._ed25519 import PrivateKey


class KeyFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``keys/NAME.toml``: a trusted public key and its roles."""

    public_key: str
    """PEM (``-----BEGIN PUBLIC KEY-----``) or one line of SSH (``ssh-ed25519 AAAA…``)"""
    roles: tuple[str, ...]
    """for example ``ci``, ``release-manager``, ``security``"""
    identities: tuple[str, ...] = ()
    """email addresses of the owner, as in commits"""
    not_before: datetime | None = None
    not_after: datetime | None = None
    """end of validity; earlier signatures stay valid"""
    former_roles: dict[str, datetime] = {}
    """role → time until which the key had it; earlier signatures in this role stay valid"""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A trusted public key of the project."""

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
        """Whether ``signature`` is from this key, directly or through ``ssh-keygen -Y sign``."""
        if not signature.startswith(signatures.MAGIC):
            return _verifies(self.raw, signature, message)
        try:
            found = signatures.parse_ssh(signature)
            signed = found.message(message)
        except ValueError:
            return False
        return (
            found.namespace == signatures.NAMESPACE
            and found.public == self.raw
            and _verifies(self.raw, found.signature, signed)
        )

    def valid_at(self, moment: datetime) -> bool:
        """Whether the key was valid at ``moment``."""
        begun = self.not_before is None or self.not_before <= moment
        return begun and (self.not_after is None or moment <= self.not_after)

    def at(self, moment: datetime | None) -> TrustedKey | None:
        """Return the key with its roles at ``moment`` (None: now); None if it was not valid then."""
        if moment is None:
            return self
        if not self.valid_at(moment):
            return None
        former = (role for role, until in self.former_roles if moment <= until)
        return replace(self, roles=tuple(dict.fromkeys((*self.roles, *former))))

    @property
    def limits(self) -> str:
        """Its period of validity, as a phrase for messages."""
        both = (("not_before", self.not_before), ("not_after", self.not_after))
        return "has " + (", ".join(f"{name} = {moment.isoformat()}" for name, moment in both if moment) or "no limit")

    @property
    def attests(self) -> bool:
        """Whether its signatures count as evidence of a machine."""
        return set(self.roles) == {MACHINE_ROLE}

    def approves(self, role: str, authors: Iterable[str] = ()) -> bool:
        """Whether its signatures count as approvals of a person in ``role`` who is not among ``authors``."""
        owner = {identity.lower() for identity in self.identities}
        known = bool(owner) and MACHINE_ROLE not in self.roles
        return known and role in self.roles and not owner & {author.lower() for author in authors}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key. Its ``repr`` does not contain the key."""

    keyid: str
    source: str
    """the variable that set it, for messages"""
    _private: PrivateKey

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature of ``message``."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey({self.keyid[:12]}, from {self.source})"


class Signed(Protocol):
    """A statement that a machine signs."""

    @property
    def ended(self) -> str:
        """The time for which its key must be valid, ISO 8601."""
        ...


S = TypeVar("S", bound=Signed)

UNTRUSTED = "is signed by no trusted key, or was changed after it was signed"


def valid_at(moment: datetime | None, signers: Sequence[TrustedKey]) -> tuple[TrustedKey, ...]:
    """Return those of ``signers`` that were valid at ``moment`` (None: now), with their roles at that time.

    Raises ``ValueError`` if none of them was.
    """
    then = tuple(valid for key in signers if (valid := key.at(moment)))
    if signers and not then and moment is not None:
        limits = "; ".join(f"{key.name} {key.limits}" for key in signers)
        raise ValueError(
            f"is dated {moment.isoformat(timespec='seconds')}, but signed with a key that was not valid then: {limits}"
        )
    return then


def read_signed(
    content: bytes, keys: Sequence[TrustedKey], kind: type[S], what: str, *, must_sign: bool = True
) -> tuple[S, tuple[TrustedKey, ...]]:
    """Return the statement of this ``kind`` in an envelope, and the trusted keys with the role ``ci`` that signed it.

    Raises ``ValueError`` with the reason if it proves nothing: changed, signed by another key, or of another kind. ``what`` names the
    kind. Without ``must_sign``, a statement without any signature is accepted.
    """
    try:
        envelope = decode_json(content, type=signatures.Envelope)
        if must_sign and not envelope.signatures:
            raise ValueError("is not signed")
        signers = signatures.signed_by(envelope, keys)
        if envelope.signatures and not signers:
            raise ValueError(UNTRUSTED)
        found = envelope.statement(kind)
        then = valid_at(time_of(found.ended), signers)
    except (MsgspecError, RecursionError) as error:
        raise ValueError(f"is not {what}: {error}") from None
    machines = tuple(key for key in then if key.attests)
    if then and not machines:
        raise ValueError(f"is signed by {then[0].name}, which has the roles {', '.join(then[0].roles)}, not only ci")
    return found, machines


def signing_key(environ: Mapping[str, str]) -> SigningKey | None:
    """Return the key from ``GAIA_SIGNING_KEY`` or ``GAIA_SIGNING_KEY_FILE``; None if neither is set.

    Raises ``ConfigError`` if the file cannot be read or the key is not an Ed25519 key. Messages never contain the key.
    """
    found = key_text(environ)
    return None if found is None else load_key(*found)


def key_text(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the text of the signing key, and the variable that set it; None if none is set.

    Raises ``ConfigError`` if the file cannot be read. Messages never contain the key.
    """
    if text := environ.get(KEY_VARIABLE):
        return text, KEY_VARIABLE
    name = environ.get(KEY_FILE_VARIABLE)
    if not name:
        return None
    if "PRIVATE KEY" in name:
        # The value is not shown, unlike the name of a file.
        raise ConfigError(
            f"{KEY_FILE_VARIABLE}: contains a key, not the path of a file. Use {KEY_VARIABLE} for the key itself."
        )
    source = f"{KEY_FILE_VARIABLE}={name}"
    return read_text(Path(name), source), source


def load_key(text: str, source: str) -> SigningKey:
    """Return the signing key in ``text``. Raises ``ConfigError`` if it is not an Ed25519 key; never contains the key."""
    from pytest_gaia.promotion.ledger._ed25519 import load_private

    private = load_private(text, source)
    return SigningKey(key_id(private.public_key().public_bytes_raw()), source, private)


def trusted_keys(folder: Path) -> tuple[TrustedKey, ...]:
    """Return the keys in ``folder``, sorted by name; none if the folder does not exist.

    Raises ``ConfigError`` with file and line for an invalid file, and for a key with two names.
    """
    keys: dict[str, TrustedKey] = {}
    for path in sorted(folder.glob("*.toml")):
        key = _read_key(path)
        if key.keyid in keys:
            raise ConfigError(f"{_shown(path)}: the same key as {keys[key.keyid].name}. Remove one of the files.")
        keys[key.keyid] = key
    return tuple(keys.values())


_DER = bytes.fromhex("302a300506032b6570032100")
"""what precedes a raw Ed25519 public key as SubjectPublicKeyInfo in DER (RFC 8410)"""


def key_id(raw: bytes) -> str:
    """Return the ID of a raw Ed25519 public key: SHA-256 (hex) of its SubjectPublicKeyInfo in DER (RFC 8410)."""
    return hashlib.sha256(_DER + raw).hexdigest()


def public_pem(raw: bytes) -> str:
    """Return a raw Ed25519 public key as PEM, which other tools read."""
    text = base64.b64encode(_DER + raw).decode("ascii")
    return f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"


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
            raise ConfigError(f"{place}: add a time zone, for example 2027-01-31T00:00:00Z.")
    try:
        check_roles(file.roles)
    except ValueError as error:
        raise ConfigError(f"{name}:{nearest_line(lines, ('roles',))}: roles: the key {path.stem} {error}") from None
    former = tuple(file.former_roles.items())
    return TrustedKey(path.stem, key_id(raw), raw, file.roles, file.identities, file.not_before, file.not_after, former)


def check_roles(roles: Sequence[str]) -> None:
    """Raise ``ValueError`` for roles that exclude each other: a machine must not approve its own results."""
    if MACHINE_ROLE in roles and (people := [role for role in roles if role != MACHINE_ROLE]):
        raise ValueError(
            f"has the role {MACHINE_ROLE}, which is for machines, and {', '.join(people)}, which "
            f"{'is' if len(people) == 1 else 'are'} for people. Use two keys: see gaia key generate -h."
        )


def raw_public(text: str) -> bytes:
    """Return the 32 bytes of an Ed25519 public key, from PEM or a line of SSH. Raises ``ValueError``."""
    words = text.split()
    if words[:1] == ["ssh-ed25519"] and len(words) > 1:
        return signatures.raw_public(base64.b64decode(words[1], validate=True))
    if "PRIVATE" in text:
        raise ValueError("this is a private key; use the public key, because the file is committed")
    from pytest_gaia.promotion.ledger._ed25519 import load_public

    if raw := load_public(text):
        return raw
    raise ValueError(
        "not an Ed25519 key: expected PEM (-----BEGIN PUBLIC KEY-----) or a line that begins with ssh-ed25519"
    )


def _verifies(raw: bytes, signature: bytes, message: bytes) -> bool:
    from pytest_gaia.promotion.ledger._ed25519 import verifies

    return verifies(raw, signature, message)


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
