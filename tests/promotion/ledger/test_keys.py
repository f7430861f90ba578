"""Keys: accepted and refused forms, each refusal with one message, and no output of private keys."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.ledger.keys import raw_public, signing_key, trusted_keys

if TYPE_CHECKING:
    from pathlib import Path

    from tests.promotion.conftest import Keyring

PUBLIC = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"k" * 32).decode()


def ssh_key(folder: Path, kind: str = "ed25519") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", folder / kind], check=True)
    return folder / kind


def ssh_signature(key: Path, content: bytes, namespace: str = "gaia-signoff") -> bytes:
    done = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-n", namespace, "-f", key], input=content, capture_output=True, check=True
    )
    return base64.b64decode("".join(done.stdout.decode().splitlines()[1:-1]))


def test_the_id_is_the_digest_of_the_public_key_in_der(keyring: Keyring) -> None:
    key = keyring.make("ci", "ci")
    der = key._private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key.keyid == hashlib.sha256(der).hexdigest()
    assert [each.keyid for each in trusted_keys(keyring.folder)] == [key.keyid]


def test_a_signature_is_verified_and_another_messages_is_not(keyring: Keyring) -> None:
    key = keyring.make("ci", "ci")
    (trusted,) = trusted_keys(keyring.folder)
    signature = key.sign(b"promote")
    assert trusted.verifies(signature, b"promote")
    assert not trusted.verifies(signature, b"reject!")
    assert not trusted.verifies(b"", b"promote")


def test_an_openssh_private_key_signs_as_well(tmp_path: Path) -> None:
    path = ssh_key(tmp_path)
    key = signing_key({"GAIA_SIGNING_KEY_FILE": str(path)})
    assert key is not None
    assert key.sign(b"x")


def test_ssh_keygens_signature_is_verified_with_the_public_line_alone(keyring: Keyring, tmp_path: Path) -> None:
    path = ssh_key(tmp_path)
    keyring.folder.mkdir()
    line = path.with_suffix(".pub").read_text().strip()
    (keyring.folder / "rita.toml").write_text(f'public_key = "{line}"\nroles = ["release-manager"]\n')
    (trusted,) = trusted_keys(keyring.folder)
    assert trusted.verifies(ssh_signature(path, b"release 7"), b"release 7")
    assert not trusted.verifies(ssh_signature(path, b"release 7"), b"release 8")
    assert not trusted.verifies(ssh_signature(path, b"release 7", "git"), b"release 7")


@pytest.mark.parametrize("cut", [0, 6, 10, 40, 100])
def test_a_damaged_ssh_signature_is_none(keyring: Keyring, tmp_path: Path, cut: int) -> None:
    path = ssh_key(tmp_path)
    keyring.folder.mkdir()
    line = path.with_suffix(".pub").read_text().strip()
    (keyring.folder / "rita.toml").write_text(f'public_key = "{line}"\nroles = ["x"]\n')
    (trusted,) = trusted_keys(keyring.folder)
    assert not trusted.verifies(ssh_signature(path, b"x")[:cut], b"x")


def test_no_key_is_no_usage_error() -> None:
    assert signing_key({}) is None


def test_a_private_key_shows_neither_itself_nor_its_text(keyring: Keyring) -> None:
    pem = keyring.private_pem()
    shown = repr(signing_key({"GAIA_SIGNING_KEY": pem}))
    assert "from GAIA_SIGNING_KEY" in shown
    assert not any(line in shown for line in pem.splitlines()[1:-1])


def test_a_key_that_cannot_be_read_is_said_without_showing_it(keyring: Keyring) -> None:
    pem = keyring.private_pem()
    broken = pem.replace("MC4C", "XXXX")
    with pytest.raises(ConfigError, match="GAIA_SIGNING_KEY: not a readable private key") as raised:
        signing_key({"GAIA_SIGNING_KEY": broken})
    assert broken.splitlines()[1] not in str(raised.value)


def test_another_kind_of_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(ConfigError, match="not an Ed25519 key"):
        signing_key({"GAIA_SIGNING_KEY": pem})


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"GAIA_SIGNING_KEY_FILE=.*nowhere: cannot be read: No such file"):
        signing_key({"GAIA_SIGNING_KEY_FILE": str(tmp_path / "nowhere")})


def test_no_folder_trusts_nobody(tmp_path: Path) -> None:
    assert trusted_keys(tmp_path / "keys") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("public_key = 3\nroles = []", r"keys/x.toml:1: public_key: expected a string"),
        ('roles = ["ci"]', r"keys/x.toml:1: .*the key `public_key` is missing"),
        ('roles = ["ci"]\npublic_key = "hello"', r"keys/x.toml:2: public_key: not an Ed25519 key"),
        ('roles = ["ci"]\npublic_key = "ssh-ed25519 AAAA"', r"keys/x.toml:2: public_key: the SSH data is truncated"),
        ('roles = ["ci"]\npublic_key = "-----BEGIN PRIVATE KEY-----"', "this is a private key"),
        ('public_key = "x"\nroles = []\nroll = 1', r"keys/x.toml:3: roll: unknown key; did you mean roles"),
        ("public_key = ", r"keys/x.toml:1: not valid TOML"),
        (
            f'public_key = "{PUBLIC}"\nroles = ["ci", "product"]',
            r"keys/x.toml:2: roles: the key x has the role ci, .*and product",
        ),
        (
            f'public_key = "{PUBLIC}"\nroles = []\nformer_roles = {{ ci = 2026-01-01T00:00:00 }}',
            r"keys/x.toml:3: former_roles.ci: add a time zone",
        ),
    ],
)
def test_a_malformed_key_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "x.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        trusted_keys(folder)


def test_a_key_is_either_a_machines_or_a_persons(keyring: Keyring) -> None:
    keyring.make("ci", "ci")
    keyring.make("anon", "security")
    keyring.make("rita", "security", identities=("Rita@example.org",))
    anon, ci, rita = trusted_keys(keyring.folder)
    both = replace(rita, roles=("ci", "security"))

    assert [key.attests for key in (ci, anon, rita, both)] == [True, False, False, False]
    assert [key.approves("security") for key in (ci, anon, rita, both)] == [False, False, True, False]
    assert [rita.approves(role, authors) for role, authors in (
        ("security", ["rita@EXAMPLE.org"]), ("product", []), ("security", ["sam@example.org"]),
    )] == [False, False, True]  # fmt: skip


def test_a_time_without_a_zone_is_refused(keyring: Keyring) -> None:
    keyring.make("ci", "ci", extra="not_after = 2030-01-01T00:00:00")
    with pytest.raises(ConfigError, match="not_after: add a time zone"):
        trusted_keys(keyring.folder)


def test_a_key_is_in_force_between_its_times(keyring: Keyring) -> None:
    keyring.make("ci", "ci", extra="not_before = 2026-01-01T00:00:00Z\nnot_after = 2027-01-01T00:00:00Z")
    (key,) = trusted_keys(keyring.folder)
    inside = [key.valid_at(datetime(year, 6, 1, tzinfo=UTC)) for year in (2025, 2026, 2027)]
    assert inside == [False, True, False]


def test_one_key_has_one_name(keyring: Keyring) -> None:
    keyring.make("ci", "ci")
    (keyring.folder / "twin.toml").write_text((keyring.folder / "ci.toml").read_text())
    with pytest.raises(ConfigError, match=r"keys/twin.toml: the same key as ci"):
        trusted_keys(keyring.folder)


def test_only_ed25519_is_taken_from_ssh(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not an Ed25519 key"):
        raw_public(ssh_key(tmp_path, "ecdsa").with_suffix(".pub").read_text())
