"""Ed25519 by the package cryptography, which this module alone imports, and which is an extra.

To import it is to ask for that package: ``ConfigError`` where it is not installed. So it is imported where a key is used.
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
    """Return a new pair: the private key as PKCS#8 and the public one, both as PEM."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), public


def load_private(text: str, source: str) -> PrivateKey:
    """Return the private key in ``text``; ``ConfigError``, which names ``source`` and never shows the key, for none."""
    load = load_ssh_private_key if "OPENSSH" in text else load_pem_private_key
    try:
        key = load(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without the cause: its text could hold parts of the key.
        problem = "no private key that can be read: PKCS#8 in PEM, or OpenSSH's form, without a passphrase"
        raise ConfigError(f"{source}: {problem}. To create one, run `gaia key generate`.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{source}: not an Ed25519 key. To create one, run `gaia key generate`.")
    return key


def load_public(pem: str) -> bytes | None:
    """Return the 32 bytes of the public key in ``pem``; None where it holds none."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else None


def verifies(raw: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the public key ``raw`` has signed ``message``."""
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
