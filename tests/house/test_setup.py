"""``ci/setup``: one message for what is wrong, nothing to do the second time."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def setup(*arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": path} if path is not None else None
    command = ["/bin/sh", str(ROOT / "ci" / "setup"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_an_unknown_profile_is_refused() -> None:
    result = setup("demon")

    assert result.returncode == 4
    assert "no profile 'demon'; there are: demo, test, bench" in result.stderr


def test_a_machine_without_python_is_told_what_to_install(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("cat", "cksum", "dirname", "sh"):
        (tools / tool).symlink_to(next(p for p in (Path("/bin") / tool, Path("/usr/bin") / tool) if p.exists()))
    copy = tmp_path / "project with a space"
    (copy / "ci" / "lock").mkdir(parents=True)
    for name in ("ci/setup", "ci/lock/demo.txt", "uv.lock", "pyproject.toml"):
        (copy / name).write_bytes((ROOT / name).read_bytes())

    result = subprocess.run(
        ["/bin/sh", str(copy / "ci" / "setup"), "demo"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(tools)},
    )

    assert result.returncode != 0
    assert "no Python >= 3.11 found" in result.stderr
    assert not (copy / ".venv").exists()
