"""Completion of services, by the environment in the command line."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import GAIA

if TYPE_CHECKING:
    from pathlib import Path


def completed(words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "_GAIA_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    return subprocess.run([GAIA], capture_output=True, text=True, env=environment, check=False, timeout=60)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("gaia deploy prod", ["production"]),
        ("gaia deploy staging --services au", ["auth"]),
        ("gaia deploy staging -s gateway,a", ["gateway,auth"]),
        ("gaia rollback staging --services g", ["gateway"]),
        ("gaia scale staging g", ["gateway"]),
        ("gaia logs local a", ["auth"]),
        ("gaia logs stagign a", []),
    ],
)
def test_services_are_completed(operated: Path, words: str, expected: list[str]) -> None:
    done = completed(words)

    assert (done.stdout.split(), done.stderr) == (expected, "")
