"""`ci/setup` prints one message for each error, and does nothing the second time."""

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
    assert (
        "unknown profile 'demon'; choose from: demo, test, bench, docs, peers, pictures, lowest, browser, servers, docker"
        in result.stderr
    )


def test_without_python_the_message_names_what_to_install(tmp_path: Path) -> None:
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


def bare(tmp_path: Path, *tools: str, fakes: dict[str, str] | None = None) -> tuple[Path, str]:
    """Return a copy of what the profile ``browser`` reads, and a PATH with only ``tools`` of this machine and ``fakes``."""
    copy, bin_ = tmp_path / "project", tmp_path / "bin"
    (copy / "ci" / "npm").mkdir(parents=True)
    for name in ("ci/setup", "ci/npm/package.json", "ci/npm/package-lock.json"):
        (copy / name).write_bytes((ROOT / name).read_bytes())
    bin_.mkdir()
    for tool in ("cat", "cksum", "dirname", "mktemp", "rm", "sh", "tail", *tools):
        (bin_ / tool).symlink_to(next(p for p in (Path("/bin") / tool, Path("/usr/bin") / tool) if p.exists()))
    for name, script in (fakes or {}).items():
        (bin_ / name).write_text(f"#!/bin/sh\n{script}\n")
        (bin_ / name).chmod(0o755)
    return copy, str(bin_)


def set_up(copy: Path, path: str, profile: str = "browser") -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(copy / "ci" / "setup"), profile]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": path})


NPM = 'mkdir -p node_modules; echo npm "$@" >> ../../called'


def test_without_npm_the_message_names_what_includes_it(tmp_path: Path) -> None:
    result = set_up(*bare(tmp_path))

    assert result.returncode != 0
    assert "npm is not on PATH; Allure needs Node.js >= 20" in result.stderr


def test_packages_are_installed_once_by_the_lock_and_run_no_scripts(tmp_path: Path) -> None:
    copy, path = bare(tmp_path, "mkdir", fakes={"npm": NPM, "chromium": "", "pdftotext": ""})

    assert [set_up(copy, path).returncode for _ in range(2)] == [0, 0]

    (call,) = (copy / "called").read_text().splitlines()
    assert call.startswith("npm ci --ignore-scripts")


def test_packages_are_installed_again_for_another_lock(tmp_path: Path) -> None:
    copy, path = bare(tmp_path, "mkdir", fakes={"npm": NPM, "chromium": "", "pdftotext": ""})
    set_up(copy, path)

    (copy / "ci" / "npm" / "package-lock.json").write_text("{}")
    set_up(copy, path)

    assert len((copy / "called").read_text().splitlines()) == 2


def test_without_root_the_message_names_the_browser_to_install(tmp_path: Path) -> None:
    result = set_up(*bare(tmp_path, "mkdir", fakes={"npm": NPM, "id": "echo 1000"}))

    assert result.returncode != 0
    assert "sudo apt-get install chromium poppler-utils" in result.stderr


def test_a_failed_installation_of_the_browser_prints_the_output_of_apt_after_an_update(tmp_path: Path) -> None:
    apt = 'echo "apt-get $*"; [ "$1$2" != "-qupdate" ] && exit 100; exit 0'
    tools = {"npm": NPM, "id": "echo 0", "apt-get": apt}

    result = set_up(*bare(tmp_path, "mkdir", fakes=tools))

    assert result.returncode != 0
    assert "could not install chromium poppler-utils" in result.stderr
    assert [line for line in result.stderr.splitlines() if line.startswith("apt-get ")] == [
        "apt-get install -q -y --no-install-recommends chromium poppler-utils",
        "apt-get -q update",
        "apt-get install -q -y --no-install-recommends chromium poppler-utils",
    ]


def test_without_root_the_message_names_what_an_engine_needs(tmp_path: Path) -> None:
    result = set_up(*bare(tmp_path, fakes={"id": "echo 1000", "dpkg-query": "exit 1"}), "docker")

    assert result.returncode != 0
    assert "busybox-static" in result.stderr.partition("sudo apt-get install")[2]


def test_a_failed_download_of_compose_is_one_message_with_the_output_of_apt(tmp_path: Path) -> None:
    apt = """case "$*" in
        indextargets*) echo mirror:/ ;;
        *update*) echo "E: The repository mirror:/ is not signed."; exit 100 ;;
    esac"""
    tools = {"id": "echo 0", "dpkg-query": "", "dockerd": "", "iptables": "", "apt-get": apt}
    copy, path = bare(tmp_path, "head", "mkdir", fakes=tools)

    result = set_up(copy, path, "docker")

    assert result.returncode != 0
    assert result.stderr.splitlines()[-2:] == [
        "ci/setup: docker-compose and docker-buildx of Debian's trixie could not be downloaded by this machine's apt sources:",
        "E: The repository mirror:/ is not signed.",
    ]
    assert not any((copy / ".docker" / "cli-plugins").iterdir())
