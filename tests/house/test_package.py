"""The wheel and the source distribution, installed in an empty environment, run the example of the README."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pytest_gaia import __version__

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow("projects")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", str(folder), cwd=ROOT)
    return folder


def run(*words: str, cwd: Path, **environ: str) -> str:
    foreign = ("GAIA_", "PYTEST_", "COVERAGE_", "VIRTUAL_ENV", "PYTHON")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    done = subprocess.run(words, cwd=cwd, env=kept | environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


def empty_environment(folder: Path, wheel: Path) -> Path:
    """Create a virtual environment with the wheel and the dependencies of its extra ``sandbox``. Return its programs."""
    run(sys.executable, "-m", "venv", "--without-pip", str(folder), cwd=folder.parent)
    programs = folder / "bin"
    packages = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    for name in dependencies("pytest-gaia", ("", "sandbox")) - {"pytest-gaia"}:
        files = distribution(name).files or ()
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(str(distribution(name).locate_file(top)))
        for file in files:
            # The program of the NATS server.
            if file.name == "nats-server" and not (programs / file.name).exists():
                (programs / file.name).symlink_to(str(distribution(name).locate_file(file)))
    zipfile.ZipFile(wheel).extractall(packages)
    for script, target in (("gaia", "pytest_gaia.cli"), ("pytest", "pytest")):
        call = "main" if script == "gaia" else "console_main"
        (programs / script).write_text(
            f"#!{programs}/python\nimport sys\nfrom {target} import {call}\nsys.exit({call}())\n"
        )
        (programs / script).chmod(0o755)
    return programs


def dependencies(name: str, extras: tuple[str, ...], found: frozenset[str] = frozenset()) -> set[str]:
    """Return the names of a distribution and of everything that it requires."""
    names = {name, *found}
    for text in distribution(name).requires or ():
        each = Requirement(text)
        wanted = each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras)
        if wanted and each.name not in names:
            names |= dependencies(each.name, ("", *each.extras), frozenset(names))
    return names


def test_the_example_of_the_readme_runs_with_the_wheel_alone(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    programs = empty_environment(tmp_path / "venv", wheel)
    project = tmp_path / "project"
    project.mkdir()
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    example = re.search(
        r"```python\n# (tests/\S+)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert example

    assert run("gaia", "--version", cwd=project, PATH=path) == f"gaia {__version__}\n"
    run("gaia", "init", cwd=project, PATH=path)
    (project / example[1]).parent.mkdir(exist_ok=True)
    (project / example[1]).write_text(example[2], encoding="utf-8")
    output = run("pytest", cwd=project, PATH=path)

    assert f"{example[1]} ." in output
    assert re.search(r"gaia verdict: PROMOTE|gaia: PROMOTE|verdict.*PROMOTE", output)
    assert str(ROOT) not in output


def test_the_source_distribution_builds_the_same_wheel_and_contains_its_tests(built: Path, tmp_path: Path) -> None:
    (source,), (wheel,) = built.glob("*.tar.gz"), built.glob("*.whl")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()

    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "again"), cwd=unpacked)

    (again,) = (tmp_path / "again").glob("*.whl")
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()
    wanted = (
        "README.md",
        "CHANGELOG.md",
        "docs/index.md",
        "tests/conftest.py",
        "suites/conftest.py",
        "ci/setup",
        "uv.lock",
    )
    assert [each for each in wanted if not (unpacked / each).is_file()] == []


def test_the_wheel_contains_the_package_alone_and_links_to_the_documentation(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
        metadata = archive.read(f"pytest_gaia-{__version__}.dist-info/METADATA").decode()

    assert tops == {"pytest_gaia", f"pytest_gaia-{__version__}.dist-info"}
    assert {line.split(", ")[0] for line in metadata.splitlines() if line.startswith("Project-URL: ")} == {
        f"Project-URL: {name}" for name in ("Documentation", "Source", "Changelog", "Issues")
    }
