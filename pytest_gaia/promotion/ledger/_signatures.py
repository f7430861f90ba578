"""The formats of signatures: statements in signed envelopes, and detached signatures of ``ssh-keygen -Y sign``.

Envelopes are DSSE v1.0.2 (https://github.com/secure-systems-lab/dsse), as in-toto uses it. The signature covers the stored
bytes. They are verified before they are parsed, so that no canonical form of JSON is necessary. A key ID is only a hint.
Those of OpenSSH are in ``PROTOCOL.sshsig``; they are verified without a program or a network, and only with Ed25519 keys.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import msgspec

from pytest_gaia.promotion.ledger.statements import STATEMENT, Subject

PAYLOAD_TYPE = "application/vnd.in-toto+json"

T = TypeVar("T")


class Signature(msgspec.Struct, frozen=True, omit_defaults=True):
    """One signature over an envelope's payload."""

    sig: str
    """base64"""
    keyid: str = ""


class Envelope(msgspec.Struct, frozen=True, rename={"payload_type": "payloadType"}):
    """A payload with its signatures. Unknown fields are ignored, as the protocol requires."""

    payload: str
    """base64"""
    payload_type: str
    signatures: tuple[Signature, ...] = ()

    def body(self) -> bytes:
        """Return the payload. Raises ``ValueError`` if it is not base64."""
        return unbase64(self.payload)

    def statement(self, kind: type[T]) -> T:
        """Return the statement of this ``kind`` in the payload. Raises ``MsgspecError`` for anything else."""
        if self.payload_type != PAYLOAD_TYPE:
            raise msgspec.ValidationError(f"it holds {self.payload_type}, not an in-toto statement")
        return msgspec.json.decode(self.body(), type=kind)


class Signer(Protocol):
    """A private key."""

    @property
    def keyid(self) -> str:
        """A hint that identifies the key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the signature of ``message``."""
        ...


class Verifier(Protocol):
    """A public key."""

    @property
    def keyid(self) -> str:
        """The ID of the key, which a signature may name."""
        ...

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` is this key's signature of ``message``."""
        ...


V = TypeVar("V", bound=Verifier)


def pae(payload_type: str, body: bytes) -> bytes:
    """Return the pre-authentication encoding, which is signed. Lengths are in bytes, as ASCII decimals."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)


def wrap(body: bytes, signers: Iterable[Signer] = ()) -> Envelope:
    """Return ``body`` in an envelope with one signature of each signer."""
    message = pae(PAYLOAD_TYPE, body)
    signatures = tuple(Signature(_base64(signer.sign(message)), signer.keyid) for signer in signers)
    return Envelope(_base64(body), PAYLOAD_TYPE, signatures)


class Statement(msgspec.Struct, frozen=True, kw_only=True, rename={"kind": "_type", "predicate_type": "predicateType"}):
    """in-toto Statement v1. A subclass adds ``predicate_type`` and ``predicate``."""

    kind: Literal["https://in-toto.io/Statement/v1"] = STATEMENT
    subject: tuple[Subject, ...]

    def signed(self, signers: Iterable[Signer]) -> bytes:
        """Return the envelope as it is stored; without ``signers`` it is not signed."""
        return msgspec.json.encode(wrap(msgspec.json.encode(self), signers)) + b"\n"


def signed_by(envelope: Envelope, keys: Iterable[V]) -> tuple[V, ...]:
    """Return the ``keys`` that signed the envelope. Raises ``ValueError`` if the payload or a signature is not base64.

    The key ID of a signature decides only which key is tried first: if that key does not verify it, all others are tried.
    """
    message = pae(envelope.payload_type, envelope.body())
    signatures = [(unbase64(each.sig), each.keyid) for each in envelope.signatures]
    known = tuple(keys)
    signed = [key for signature, keyid in signatures for key in _signers(signature, keyid, message, known)]
    return tuple(key for key in known if key in signed)


def _signers(signature: bytes, keyid: str, message: bytes, keys: Sequence[V]) -> list[V]:
    named = [key for key in keys if key.keyid == keyid]
    found = [key for key in named if key.verifies(signature, message)]
    # A signature is from one key, so the others matter only if the hint is wrong or missing.
    return found or [key for key in keys if key not in named and key.verifies(signature, message)]


def unbase64(text: str) -> bytes:
    """Decode standard or URL-safe base64. A verifier must accept both. Raises ``ValueError``."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


NAMESPACE = "gaia-signoff"
"""namespace of signatures of approvals, so that signatures for other purposes are not accepted"""

MAGIC = b"SSHSIG"
_KEY_TYPE = b"ssh-ed25519"
_HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}


@dataclass(frozen=True, slots=True)
class SshSignature:
    """A parsed signature."""

    public: bytes
    """the raw Ed25519 public key in the signature"""
    namespace: str
    hash_name: bytes
    signature: bytes
    """raw signature, 64 bytes"""

    def message(self, content: bytes) -> bytes:
        """Return the signed bytes for ``content``. Raises ``ValueError`` for an unknown hash."""
        if self.hash_name not in _HASHES:
            raise ValueError(f"unknown hash {self.hash_name!r}")
        digest = _HASHES[self.hash_name](content).digest()
        parts = (self.namespace.encode(), b"", self.hash_name, digest)
        return MAGIC + b"".join(_string(part) for part in parts)


def parse_ssh(blob: bytes) -> SshSignature:
    """Parse a binary SSHSIG. Raises ``ValueError`` if it is not version 1 or not from an Ed25519 key."""
    if not blob.startswith(MAGIC) or blob[6:10] != b"\0\0\0\x01":
        raise ValueError("not an SSHSIG of version 1")
    key, namespace, _reserved, hash_name, signature = _strings(blob[10:], 5)
    kind, raw = _strings(signature, 2)
    if kind != _KEY_TYPE:
        raise ValueError(f"signed with a key of type {kind.decode(errors='replace')}; only ssh-ed25519 is supported")
    return SshSignature(raw_public(key), namespace.decode(errors="replace"), hash_name, raw)


def raw_public(blob: bytes) -> bytes:
    """Return the 32 bytes of an Ed25519 public key in the wire format of SSH. Raises ``ValueError``."""
    kind, raw = _strings(blob, 2)
    if kind != _KEY_TYPE or len(raw) != 32:
        raise ValueError(f"a key of type {kind.decode(errors='replace')}; only ssh-ed25519 is supported")
    return raw


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def _strings(blob: bytes, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length:
            raise ValueError("the SSH data is truncated")
        found.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    if blob:
        raise ValueError("the SSH data has extra bytes at its end")
    return found
