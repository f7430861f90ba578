"""Ed25519 signatures with the optional package cryptography, which only this module imports.

The import raises ``ConfigError`` if the package is not installed. Therefore, other modules import this one in functions.
"""

from typing import TypeAlias

from pytest_gaia.errors import ConfigError

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
        load_pem_private_key,
        load_pem_public_key,
        load_ssh_private_key,
    )
except ImportError:
    raise ConfigError(
        "signatures need the package cryptography, which is not installed: pip install 'pytest-gaia[sign]'."
    ) from None

PrivateKey: TypeAlias = Ed25519PrivateKey


def generate() -> tuple[bytes, str]:
    """Return a new key pair as PEM: the private key (PKCS#8) and the public key."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), public


def load_private(text: str, source: str) -> PrivateKey:
    """Return the private key in ``text``. Raises ``ConfigError``, which contains ``source`` and never the key."""
    load = load_ssh_private_key if "OPENSSH" in text else load_pem_private_key
    try:
        key = load(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without the cause, because its message could contain parts of the key.
        problem = "not a readable private key. Use PKCS#8 in PEM, or the format of OpenSSH, without a passphrase"
        raise ConfigError(f"{source}: {problem}. To create one, run `gaia key generate`.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{source}: not an Ed25519 key. To create one, run `gaia key generate`.")
    return key


def load_public(pem: str) -> bytes | None:
    """Return the 32 bytes of the public key in ``pem``; None if it is not an Ed25519 key."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else None


def verifies(raw: bytes, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` of ``message`` is from the public key ``raw``."""
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
