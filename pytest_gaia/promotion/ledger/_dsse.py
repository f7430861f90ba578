"""Signed envelopes: DSSE v1.0.2 (https://github.com/secure-systems-lab/dsse), as in-toto uses it.

The signature covers the stored bytes. They are verified before they are parsed, so that no canonical form of JSON is
necessary. A key ID is only a hint.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Protocol, TypeVar

import msgspec

PAYLOAD_TYPE = "application/vnd.in-toto+json"


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


def signed_by(envelope: Envelope, keys: Iterable[V]) -> tuple[V, ...]:
    """Return the ``keys`` that signed the envelope. Raises ``ValueError`` if the payload or a signature is not base64."""
    message = pae(envelope.payload_type, envelope.body())
    signatures = [unbase64(each.sig) for each in envelope.signatures]
    return tuple(key for key in keys if any(key.verifies(signature, message) for signature in signatures))


def unbase64(text: str) -> bytes:
    """Decode standard or URL-safe base64. A verifier must accept both. Raises ``ValueError``."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
