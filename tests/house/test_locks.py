"""uv.lock and the requirement files exported from it agree."""

from __future__ import annotations

import json
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROFILES = ("demo", "test", "bench", "docs", "peers", "pictures")
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", re.MULTILINE)


@cache
def locked() -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]:
        versions.setdefault(package["name"], set()).add(package.get("version", ""))
    return versions


def pinned(profile: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / "ci" / "lock" / f"{profile}.txt").read_text()))


@pytest.mark.parametrize("profile", PROFILES)
def test_every_pin_is_the_locked_version(profile: str) -> None:
    pins = pinned(profile)

    assert pins
    assert {name: version for name, version in pins.items() if version not in locked().get(name, set())} == {}


def test_every_profile_includes_the_smaller_ones_and_the_largest_cover_the_lock() -> None:
    demo, test, bench, docs, peers, pictures = (set(pinned(profile)) for profile in PROFILES)

    assert demo < test < bench
    assert test < peers
    assert test < docs
    assert test < pictures
    assert set(locked()) - {"pytest-gaia"} == bench | docs | peers | pictures


def test_every_pin_has_its_hashes() -> None:
    for profile in (*PROFILES, "lowest"):
        text = (ROOT / "ci" / "lock" / f"{profile}.txt").read_text()
        entries = [entry for entry in re.split(r"\n(?=\S)", text) if "==" in entry]
        assert all("--hash=sha256:" in entry for entry in entries)


def test_the_lowest_profile_has_the_lowest_version_of_each_dependency_that_is_allowed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    bounds = dict(re.findall(r"^([a-z0-9-]+)[>=]=([\d.]+)", "\n".join(required), re.MULTILINE))
    pins = pinned("lowest")

    assert len(bounds) == len(required)
    assert {
        name: pins[name] for name, bound in bounds.items() if not (pins[name] + ".0.0").startswith(bound + ".")
    } == {}


def test_npm_packages_are_pinned_exactly_and_each_has_its_hash() -> None:
    required = json.loads((ROOT / "ci" / "npm" / "package.json").read_text())
    lock = json.loads((ROOT / "ci" / "npm" / "package-lock.json").read_text())["packages"]
    packages = {name: each for name, each in lock.items() if name}

    assert required["private"] is True
    assert lock[""]["dependencies"] == required["dependencies"]
    for name, version in required["dependencies"].items():
        assert packages[f"node_modules/{name}"]["version"] == version
    assert [name for name, each in packages.items() if not each.get("integrity", "").startswith("sha512-")] == []
    elsewhere = [
        name for name, each in packages.items() if not each["resolved"].startswith("https://registry.npmjs.org/")
    ]
    assert elsewhere == []
