"""Verification of signatures of ``ssh-keygen -Y sign``, without a program or a network.

The format is ``PROTOCOL.sshsig`` of OpenSSH. Only Ed25519 keys are supported.
"""

import hashlib
from dataclasses import dataclass

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


def parse(blob: bytes) -> SshSignature:
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
