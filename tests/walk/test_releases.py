"""Two releases walk from local to production by the steps of the CI template, with signed evidence; one goes back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ci.walk.releases import SHARDS

pytestmark = pytest.mark.slow("walk")

ROOT = Path(__file__).parents[2]


def test_two_releases_are_promoted_and_the_second_is_rolled_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("releases")
    done = subprocess.run(
        (sys.executable, "-u", "-m", "ci.walk", "--releases"),
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    # Staging tests the second release in shards, whose merged verdict is in the ledger alone.
    for environment, runs in (("local", 2), ("dev", 2), ("staging", 1), ("production", 2)):
        assert done.stdout.count(f"gaia verdict: PROMOTE on {environment}: 37 passed") >= runs
    for shard in SHARDS:
        assert (
            f"PARTIAL on staging: partial run: cannot promote a release, only shard {shard} was selected" in done.stdout
        )
    assert "not-quarantined         rolled back from production" in done.stdout
    assert ".gaia/ledger: intact, 43 entries, 43 signed by 3 keys, head" in done.stdout
    assert "PRIVATE" not in done.stdout + done.stderr
    assert not list(folder.iterdir())
