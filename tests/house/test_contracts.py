"""Import contracts, checked on a small package: violations are reported, and allowed imports pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = """\
[importlinter]
root_package = pytest_gaia
include_external_packages = True
contract_types =
    private: ci.contracts.PrivateModules
    single: ci.contracts.SingleImporters

[importlinter:contract:private]
name = private
type = private

[importlinter:contract:single]
name = single
type = single
importers =
    httpx = pytest_gaia.clients.transport
"""
PACKAGE = {
    "pytest_gaia/__init__.py": "",
    "pytest_gaia/clients/__init__.py": "",
    "pytest_gaia/clients/transport.py": "import httpx\nfrom pytest_gaia.clients._retries import again\n",
    "pytest_gaia/clients/_retries.py": "again = 3\n",
    "pytest_gaia/gate/__init__.py": "",
    "pytest_gaia/gate/gate.py": "from pytest_gaia.clients.transport import again\n",
}


def lint(folder: Path, **changed: str) -> tuple[int, str]:
    for name, text in {**PACKAGE, **changed}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / ".importlinter").write_text(CONTRACTS)
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", command, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT))), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_package_may_import_what_is_private_to_it(tmp_path: Path) -> None:
    code, out = lint(tmp_path)

    assert code == 0, out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "from pytest_gaia.clients._retries import again\n",
            "pytest_gaia.gate.gate imports pytest_gaia.clients._retries, which is private to pytest_gaia.clients",
        ),
        ("import httpx\n", "pytest_gaia.gate.gate imports httpx; go through pytest_gaia.clients.transport"),
    ],
    ids=["past an interface", "a second importer"],
)
def test_an_import_past_an_interface_fails(tmp_path: Path, text: str, told: str) -> None:
    code, out = lint(tmp_path, **{"pytest_gaia/gate/gate.py": text})

    assert (code, told in out) == (1, True), out
