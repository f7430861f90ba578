"""What this project signs, verifiers of others accept. One changed byte, and neither they nor this project do."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.promotion.attestation import sign, statement, verified
from pytest_gaia.promotion.ledger.keys import trusted_keys
from pytest_gaia.promotion.ledger.statements import PREDICATES
from tests.promotion.other_verifiers import accepts, statement_in
from tests.promotion.pipeline import Pipeline
from tests.promotion.test_attestation import FILES, evaluated
from tests.promotion.test_attestation import test as passed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.promotion.conftest import Keyring

KINDS = sorted(PREDICATES)


@pytest.fixture
def pipeline(keyring: Keyring, tmp_path: Path) -> Pipeline:
    """A ledger with an entry of each kind."""
    pipeline = Pipeline(keyring, tmp_path / "ledger")
    pipeline.all_but()
    pipeline.waive("security-review", "production", "rita", "release-manager")
    return pipeline


def entries(pipeline: Pipeline) -> dict[str, Path]:
    """Return kind → the file of its first entry."""
    found: dict[str, Path] = {}
    for path in sorted(pipeline.folder.glob("*.json")):
        found.setdefault(statement_in(json.loads(path.read_bytes()))["predicateType"], path)
    return found


def changed(envelope: dict[str, Any], step: int = 1) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the envelope with one changed byte, at every position that is a multiple of ``step``."""
    (signature,) = envelope["signatures"]
    for name, text in (("payload", envelope["payload"]), ("sig", signature["sig"])):
        content = base64.b64decode(text)
        for at in range(0, len(content), step if name == "payload" else 1):
            other = content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :]
            changes = {name: base64.b64encode(other).decode()}
            same = changes if name == "payload" else {"signatures": [signature | changes]}
            yield f"byte {at} of {name}", envelope | same
    kind = envelope["payloadType"]
    for at in range(len(kind)):
        yield f"byte {at} of the payload type", envelope | {"payloadType": f"{kind[:at]}~{kind[at + 1 :]}"}


def test_the_ledger_has_an_entry_of_each_kind(pipeline: Pipeline) -> None:
    assert sorted(entries(pipeline)) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_of_the_ledger_is_accepted_and_a_changed_one_is_not(
    pipeline: Pipeline, keyring: Keyring, kind: str
) -> None:
    path = entries(pipeline)[kind]
    content = path.read_bytes()
    envelope = json.loads(content)
    ledger = keyring.ledger(pipeline.folder)
    (signer,) = next(each for each in ledger.entries() if path.name == f"{each.sequence:06}.json").signers
    pem = keyring.public_pem(signer.name)
    assert accepts(envelope, pem)
    assert statement_in(envelope)["predicateType"] == kind
    other = next(name for name in ("ci", "rita") if name != signer.name)
    assert not accepts(envelope, keyring.public_pem(other))

    for position, (place, each) in enumerate(changed(envelope, step=7)):
        assert not accepts(each, pem), place
        if position % 20 == 0:
            path.write_text(json.dumps(each))
            assert ledger.problems(), place
    path.write_bytes(content)
    assert ledger.problems() == ()


def test_an_attestation_is_accepted_and_a_changed_one_is_not(keyring: Keyring) -> None:
    key = keyring.make("ci", "ci")
    keys, pem = trusted_keys(keyring.folder), keyring.public_pem("ci")
    envelope = json.loads(sign(statement(evaluated(passed("test_a")), FILES), [key]))

    assert accepts(envelope, pem)
    assert statement_in(envelope)["predicate"]["result"] == "PASSED"
    assert verified(json.dumps(envelope).encode(), keys).run.result == "PASSED"

    for place, each in changed(envelope):
        assert not accepts(each, pem), place
        with pytest.raises(ValueError, match="signed by no trusted key"):
            verified(json.dumps(each).encode(), keys)
    unsigned = envelope | {"signatures": []}
    assert not accepts(unsigned, pem)
    with pytest.raises(ValueError, match="is not signed"):
        verified(json.dumps(unsigned).encode(), keys)
