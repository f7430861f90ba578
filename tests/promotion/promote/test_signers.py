"""Which key signs the evidence of machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.signing import any_signer, signers_for
from pytest_gaia.system.processes import KEY_VARIABLE
from tests.projects import ON_GAIA

if TYPE_CHECKING:
    from pathlib import Path

    from tests.promotion.conftest import Keyring


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gaia.toml").write_text(ON_GAIA, encoding="utf-8")
    return tmp_path


def here(folder: Path, pem: str = "") -> Promotion:
    return Promotion.here(folder, {KEY_VARIABLE: pem} if pem else {})


def trusted(keyring: Keyring, monkeypatch: pytest.MonkeyPatch, *roles: str) -> str:
    pem = keyring.private_pem()
    monkeypatch.setattr(keyring, "private_pem", lambda: pem)
    keyring.make("key", *roles)
    return pem


def test_a_trusted_key_of_ci_signs_everywhere(folder: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    promotion = here(folder, trusted(keyring, monkeypatch, "ci"))

    for environments in (("staging", "dev"), ("dev",)):
        (signer,) = signers_for(promotion, *environments)
        assert signer.keyid == promotion.ledger.keys[0].keyid


def test_where_no_signature_is_asked_for_a_key_that_would_not_count_is_not_used(
    folder: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert signers_for(here(folder), "dev") == []
    assert signers_for(here(folder, keyring.private_pem()), "dev") == []
    assert any_signer(here(folder, keyring.private_pem())) == []


def test_where_keys_are_trusted_every_environment_asks_for_one(
    folder: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    promotion = here(folder, trusted(keyring, monkeypatch, "security"))

    with pytest.raises(ConfigError, match=r"the ledger \(.gaia/ledger\) requires evidence .* security, not ci"):
        signers_for(promotion, "dev")
    with pytest.raises(ConfigError, match=r"requires evidence .* no key is configured"):
        signers_for(here(folder), "dev")
    assert [signer.keyid for signer in any_signer(promotion)] == [promotion.ledger.keys[0].keyid]
    with pytest.raises(ConfigError, match="is signed, and no key is configured"):
        any_signer(here(folder))


def test_where_one_is_asked_for_the_reason_is_said(
    folder: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"staging requires evidence .* no key is configured"):
        signers_for(here(folder), "dev", "staging")
    with pytest.raises(ConfigError, match="is not trusted: no file in keys/ has it"):
        signers_for(here(folder, keyring.private_pem()), "staging")
    with pytest.raises(ConfigError, match="key has the roles security, not ci"):
        signers_for(here(folder, trusted(keyring, monkeypatch, "security")), "staging")


def test_a_key_that_has_run_out_testifies_nothing(
    folder: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = keyring.private_pem()
    monkeypatch.setattr(keyring, "private_pem", lambda: pem)
    keyring.make("old", "ci", extra="not_after = 2026-01-01T00:00:00Z")

    for environment in ("dev", "staging"):
        with pytest.raises(ConfigError, match=r"old: this key is not valid now; .*not_after in keys/old.toml"):
            signers_for(here(folder, pem), environment)
