"""``ci/gate``: gaia in a project, and a release of the images in a variable."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ci.templates import ROOT
from tests.repositories import Repository
from tests.rollout.deploy_files import image

if TYPE_CHECKING:
    from collections.abc import Callable

    Gate = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in git that has the script."""
    for name in [each for each in os.environ if each.startswith("GAIA_")]:
        monkeypatch.delenv(name)
    (tmp_path / "ci").mkdir()
    shutil.copy(ROOT / "ci" / "gate", tmp_path / "ci")
    repository = Repository(tmp_path, monkeypatch)
    repository.write("gaia.toml", '[services.gateway]\n[services.auth]\n[env.dev]\nurl = "http://127.0.0.1:9"\n')
    repository.write(".gitignore", ".gaia/\nrelease.json\n")
    repository.write("strays/a.txt")
    repository.commit()
    return tmp_path


@pytest.fixture
def gate(project: Path) -> Gate:
    """Run the script from another folder, with the gaia of these tests."""

    def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [project / "ci" / "gate", *arguments],
            cwd=project / "strays",
            env={**os.environ, "PATH": path, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    return call


def test_words_are_those_of_gaia_and_so_is_the_exit_code(gate: Gate) -> None:
    assert gate("--version").stdout.startswith("gaia ")
    done = gate("release", "check", "a b", "-e", "dev")
    assert done.returncode == 4
    assert "release 'a b'" in done.stderr


def test_a_release_is_made_of_the_images_and_written_for_later_jobs(gate: Gate, project: Path) -> None:
    images = {"gateway": image("gateway", 1), "auth": image("auth", 2)}

    done = gate("create-release", "release.json", IMAGES="\n ".join(f"{name}={ref}" for name, ref in images.items()))

    assert (done.returncode, done.stderr) == (0, "")
    release = json.loads((project / "release.json").read_text())
    assert {each["service"]: each["image"] for each in release["components"]} == images
    assert gate("release", "check", "release.json", "--env", "dev").returncode == 11


@pytest.mark.parametrize(
    ("arguments", "images", "said"),
    [
        (["create-release"], "gateway=x", "ci/gate: say which file"),
        (["create-release", "a.json", "b.json"], "gateway=x", "ci/gate: say which file"),
        (["create-release", "release.json"], "", "ci/gate: IMAGES is empty"),
        (["create-release", "release.json"], "  ", "gaia: "),
        (["create-release", "release.json"], "gateway=gateway:latest", "gaia: "),
        (["create-release", "release.json"], "*", "gaia: "),
        (["create-release", "release.json"], "--help", "gaia: "),
    ],
)
def test_usage_errors_make_nothing(gate: Gate, project: Path, arguments: list[str], images: str, said: str) -> None:
    done = gate(*arguments, IMAGES=images)

    assert (done.returncode, done.stdout) == (4, "")
    assert said in done.stderr
    assert "strays" not in done.stderr, "a star is no name of files"
    assert not (project / "release.json").exists()


def test_without_gaia_and_without_a_set_up_it_says_what_to_install(gate: Gate) -> None:
    done = gate("gate", "dev", PATH="/usr/bin:/bin")

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == "ci/gate: gaia is not on the PATH: pip install 'pytest-gaia[sandbox,sign]'\n"
