"""The scripts of the page about verifying evidence accept a real attestation, and reject a changed one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.promotion.attestation import sign, statement
from pytest_gaia.promotion.ledger.keys import public_pem, trusted_keys
from tests.docs.pages import ROOT
from tests.promotion.conftest import Keyring
from tests.promotion.test_attestation import FILES, evaluated
from tests.promotion.test_attestation import test as passed

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs/how-to/verify-evidence.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("language", "command"),
    [
        ("python", [sys.executable]),
        pytest.param("bash", ["bash"], marks=pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed")),
    ],
)
def test_a_script_of_the_page_verifies_an_attestation(tmp_path: Path, language: str, command: list[str]) -> None:
    (script,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    keyring = Keyring(tmp_path / "keys")
    content = sign(statement(evaluated(passed("test_a")), FILES), [keyring.make("ci", "ci")])
    (key,) = trusted_keys(keyring.folder)
    (tmp_path / "ci.pub.pem").write_text(public_pem(key.raw))

    def run(envelope: bytes) -> subprocess.CompletedProcess[str]:
        (tmp_path / "run.intoto.json").write_bytes(envelope)
        return subprocess.run([*command, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)

    good = run(content)
    assert (good.returncode, "PASSED" in good.stdout) == (0, True), good.stderr
    bad = run(content.replace(b'"payload":"ey', b'"payload":"eY'))
    assert bad.returncode != 0
    assert "PASSED" not in bad.stdout
