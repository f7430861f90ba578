"""Signed envelopes: DSSE v1.0.2 (https://github.com/secure-systems-lab/dsse), as in-toto uses it.

What is signed are the very bytes that are stored: nothing is parsed before it is verified, and no JSON needs a canonical
form. A key id is a hint and decides nothing.
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
    """A payload, and who signed it. Unknown fields are ignored, as the protocol asks."""

    payload: str
    """base64"""
    payload_type: str
    signatures: tuple[Signature, ...] = ()

    def body(self) -> bytes:
        """Return the payload; raises ``ValueError`` for one that is not base64."""
        return unbase64(self.payload)


class Signer(Protocol):
    """What can sign bytes."""

    @property
    def keyid(self) -> str:
        """A hint at the key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the signature of ``message``."""
        ...


class Verifier(Protocol):
    """What can tell whether it signed bytes."""

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` is this key's signature of ``message``."""
        ...


V = TypeVar("V", bound=Verifier)


def pae(payload_type: str, body: bytes) -> bytes:
    """Return the pre-authentication encoding, which is what is signed: lengths are of bytes, in ASCII decimals."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)


def wrap(body: bytes, signers: Iterable[Signer] = ()) -> Envelope:
    """Return ``body`` as an envelope with one signature of each signer."""
    message = pae(PAYLOAD_TYPE, body)
    signatures = tuple(Signature(_base64(signer.sign(message)), signer.keyid) for signer in signers)
    return Envelope(_base64(body), PAYLOAD_TYPE, signatures)


def signed_by(envelope: Envelope, keys: Iterable[V]) -> tuple[V, ...]:
    """Return those of ``keys`` that have signed the envelope. Raises ``ValueError`` for what is not base64."""
    message = pae(envelope.payload_type, envelope.body())
    signatures = [unbase64(each.sig) for each in envelope.signatures]
    return tuple(key for key in keys if any(key.verifies(signature, message) for signature in signatures))


def unbase64(text: str) -> bytes:
    """Decode standard or URL-safe base64, both of which a verifier must take. Raises ``ValueError``."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
