"""Signatures that ``ssh-keygen -Y sign`` makes, verified with the public key alone: no program, no network.

Format: ``PROTOCOL.sshsig`` of OpenSSH. Only Ed25519, which is what this project signs with everywhere.
"""

import hashlib
from dataclasses import dataclass

NAMESPACE = "gaia-signoff"
"""what an SSH key signs a sign-off as, so that a signature for something else is none for this"""

MAGIC = b"SSHSIG"
_KEY_TYPE = b"ssh-ed25519"
_HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}


@dataclass(frozen=True, slots=True)
class SshSignature:
    """One signature, taken apart."""

    public: bytes
    """the raw Ed25519 key that it claims to be of"""
    namespace: str
    hash_name: bytes
    signature: bytes
    """raw, 64 bytes"""

    def message(self, content: bytes) -> bytes:
        """Return the bytes that were signed for ``content``. Raises ``ValueError`` for an unknown hash."""
        if self.hash_name not in _HASHES:
            raise ValueError(f"unknown hash {self.hash_name!r}")
        digest = _HASHES[self.hash_name](content).digest()
        parts = (self.namespace.encode(), b"", self.hash_name, digest)
        return MAGIC + b"".join(_string(part) for part in parts)


def parse(blob: bytes) -> SshSignature:
    """Take a binary SSHSIG apart. Raises ``ValueError`` for anything but a version 1 signature by an Ed25519 key."""
    if not blob.startswith(MAGIC) or blob[6:10] != b"\0\0\0\x01":
        raise ValueError("not an SSHSIG of version 1")
    key, namespace, _reserved, hash_name, signature = _strings(blob[10:], 5)
    kind, raw = _strings(signature, 2)
    if kind != _KEY_TYPE:
        raise ValueError(f"signed by a key of type {kind.decode(errors='replace')}; only ssh-ed25519 is taken")
    return SshSignature(raw_public(key), namespace.decode(errors="replace"), hash_name, raw)


def raw_public(blob: bytes) -> bytes:
    """Return the 32 bytes of an Ed25519 public key in SSH's wire format. Raises ``ValueError``."""
    kind, raw = _strings(blob, 2)
    if kind != _KEY_TYPE or len(raw) != 32:
        raise ValueError(f"a key of type {kind.decode(errors='replace')}; only ssh-ed25519 is taken")
    return raw


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def _strings(blob: bytes, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length:
            raise ValueError("cut off")
        found.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    if blob:
        raise ValueError("more follows than belongs to it")
    return found
