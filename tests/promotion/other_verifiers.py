"""Verifiers of others: securesystemslib checks the signature, in-toto's own library the form of the statement."""

from __future__ import annotations

import json
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf import json_format
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # its own documentation imports it so

TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"


def accepts(envelope: dict[str, Any], pem: str) -> bool:
    """Whether securesystemslib accepts the signature of the public key ``pem``."""
    # It changes what it reads.
    found = Envelope.from_dict(json.loads(json.dumps(envelope)))
    keyids = list(found.signatures)
    key = SSlibKey.from_crypto(load_pem_public_key(pem.encode()), keyids[0] if keyids else None)
    try:
        return len(found.verify([key], 1)) == 1
    except VerificationError:
        return False


def statement_in(envelope: dict[str, Any]) -> dict[str, Any]:
    """Return the statement, which in-toto's library has validated, with its predicate if it is a test result."""
    body = Envelope.from_dict(json.loads(json.dumps(envelope))).payload
    Statement.copy_from_pb(json_format.Parse(body, statement_pb2.Statement())).validate()
    document: dict[str, Any] = json.loads(body)
    if document["predicateType"] == TEST_RESULT:
        # As the parsing rules of in-toto say: unknown fields are ignored.
        found = json_format.ParseDict(document["predicate"], test_result_pb2.TestResult(), ignore_unknown_fields=True)
        assert found.result in ("PASSED", "WARNED", "FAILED")
        for each in found.configuration:
            ResourceDescriptor.copy_from_pb(each).validate()
            assert each.digest
    return document
