"""Which keys signed an envelope, whatever the key IDs in it are."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.promotion.ledger._signatures import PAYLOAD_TYPE, Envelope, Signature, pae, signed_by, unbase64
from pytest_gaia.promotion.ledger.keys import TrustedKey, key_id

BODY = b'{"_type": "https://in-toto.io/Statement/v1"}'
PRIVATE = [Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"%d" % number).digest()) for number in range(4)]
RAW = [key.public_key().public_bytes_raw() for key in PRIVATE]
KEYS = [TrustedKey(f"key-{number}", key_id(raw), raw, ("ci",)) for number, raw in enumerate(RAW)]

# From a key, of another text, or no signature at all.
signatures = st.one_of(
    st.sampled_from(PRIVATE).map(lambda key: key.sign(pae(PAYLOAD_TYPE, BODY))),
    st.sampled_from(PRIVATE).map(lambda key: key.sign(b"another text")),
    st.binary(max_size=70),
)
key_ids = st.sampled_from([*(key.keyid for key in KEYS), "", "unknown"])
# The same key may be there twice, under two names.
trusted = st.lists(st.sampled_from([*KEYS, TrustedKey("again", key_id(RAW[0]), RAW[0], ("security",))]), unique=True)


def plain(envelope: Envelope, keys: list[TrustedKey]) -> tuple[TrustedKey, ...]:
    """Try every key with every signature, and ignore the key IDs."""
    message = pae(envelope.payload_type, envelope.body())
    found = [unbase64(each.sig) for each in envelope.signatures]
    return tuple(key for key in keys if any(key.verifies(signature, message) for signature in found))


@given(st.lists(st.tuples(signatures, key_ids), max_size=4), trusted)
def test_a_key_id_does_not_decide_who_signed(given: list[tuple[bytes, str]], keys: list[TrustedKey]) -> None:
    signed = tuple(Signature(base64.b64encode(each).decode(), keyid) for each, keyid in given)
    envelope = Envelope(base64.b64encode(BODY).decode(), PAYLOAD_TYPE, signed)

    assert signed_by(envelope, keys) == plain(envelope, keys)


def test_only_the_named_key_is_tried_if_it_verifies(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    verifies = TrustedKey.verifies

    def counted(key: TrustedKey, signature: bytes, message: bytes) -> bool:
        tried.append(key.name)
        return verifies(key, signature, message)

    monkeypatch.setattr(TrustedKey, "verifies", counted)
    signature = Signature(base64.b64encode(PRIVATE[2].sign(pae(PAYLOAD_TYPE, BODY))).decode(), KEYS[2].keyid)

    assert signed_by(Envelope(base64.b64encode(BODY).decode(), PAYLOAD_TYPE, (signature,)), KEYS) == (KEYS[2],)
    assert tried == ["key-2"]
