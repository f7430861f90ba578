"""Releases that two clones share: found by ID, with their deploy files, and only if their content matches."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import msgspec
import pytest

from pytest_gaia.errors import ConfigError, DeployUnavailable
from pytest_gaia.promotion.ledger.stores import GitReference
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.release.kept import REFERENCE, SharedRelease, all_releases, configs_folder, keep_release
from tests.promotion.pipeline import made_release
from tests.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.promotion.release.kept import Release

SETTINGS = '[ledger]\ngit = "refs/gaia/ledger"\nremote = "origin"\n'
FILES = {"fly.gateway.staging.toml": b"app = 'x'\n", "docker-compose.yml": b"\xff\x00"}


@pytest.fixture
def clones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Promotion, Promotion]:
    """Two machines that share one remote."""
    first = tmp_path / "first"
    first.mkdir()
    repository = Repository(first, monkeypatch)
    repository.write("gaia.toml", SETTINGS)
    repository.commit()
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "origin.git"], check=True)
    repository.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    repository.git("push", "--quiet", "origin", "main")
    subprocess.run(
        ["git", "clone", "--quiet", "--branch=main", tmp_path / "origin.git", tmp_path / "second"], check=True
    )
    return Promotion.here(first, {}), Promotion.here(tmp_path / "second", {})


def release_with_files(seed: str = "a", created: str = "2026-11-02T09:00:00+00:00") -> Release:
    configs = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    return made_release(seed, configs=configs, created=created)


def make(promotion: Promotion, release: Release) -> None:
    keep_release(promotion.rootdir, release, FILES)
    promotion.share(release, FILES)


def test_another_machine_finds_a_release_with_its_deploy_files(clones: tuple[Promotion, Promotion]) -> None:
    here, there = clones
    release = release_with_files()
    make(here, release)

    found = there.release(release.short)

    assert found == release
    folder = configs_folder(there.rootdir, found)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES


def test_sharing_twice_is_sharing_once_and_both_sides_may(clones: tuple[Promotion, Promotion]) -> None:
    here, there = clones
    newer, older = (
        release_with_files("a", "2026-11-03T09:00:00+00:00"),
        release_with_files("b", "2026-11-01T09:00:00+00:00"),
    )

    for promotion, release in ((here, newer), (here, newer), (there, older), (there, newer)):
        make(promotion, release)
    here.bring_releases()

    reference = GitReference(here.rootdir, REFERENCE, "origin")
    assert reference.names(reference.fetch()) == sorted(f"{each.id}.json" for each in (newer, older))
    assert {each.id for each in all_releases(here.rootdir)} == {newer.id, older.id}


def test_they_arrive_in_the_order_in_which_they_were_made(clones: tuple[Promotion, Promotion]) -> None:
    here, there = clones
    days = [release_with_files(seed, f"2026-11-0{day}T09:00:00+00:00") for day, seed in ((3, "a"), (1, "b"), (2, "c"))]
    for release in days:
        make(here, release)

    there.bring_releases()

    assert [each.created[9] for each in all_releases(there.rootdir)] == ["1", "2", "3"]


def test_what_is_not_what_its_name_says_is_left_out(clones: tuple[Promotion, Promotion]) -> None:
    here, there = clones
    release = release_with_files()
    whole = SharedRelease(release, FILES)
    outside = made_release("o", configs={"../../../x": hashlib.sha256(b"").hexdigest()})
    reference = GitReference(here.rootdir, REFERENCE, "origin")
    stored = {
        f"{'0' * 64}.json": msgspec.json.encode(whole),
        f"{release.id}.json": msgspec.json.encode(SharedRelease(release, FILES | {"docker-compose.yml": b"other"})),
        f"{outside.id}.json": msgspec.json.encode(SharedRelease(outside, {"../../../x": b""})),
        f"{'1' * 64}.json": b"\xff",
    }
    reference.put(reference.fetch(), stored, "not what they say")

    there.bring_releases()

    assert all_releases(there.rootdir) == ()
    assert not list(there.rootdir.rglob("x"))
    with pytest.raises(ConfigError, match="has no release yet"):
        there.release(release.short)


def test_a_remote_out_of_reach_is_said(clones: tuple[Promotion, Promotion], tmp_path: Path) -> None:
    here, there = clones
    release = release_with_files()
    (tmp_path / "origin.git").rename(tmp_path / "gone.git")

    keep_release(here.rootdir, release, FILES)
    with pytest.raises(DeployUnavailable, match="the remote is unreachable"):
        here.share(release, FILES)
    with pytest.raises(DeployUnavailable, match="the remote is unreachable"):
        there.release(release.short)
    assert here.release(release.short) == release, "what is kept here needs no remote"


def test_a_ledger_in_a_folder_shares_nothing(clones: tuple[Promotion, Promotion]) -> None:
    here, _ = clones
    (here.rootdir / "gaia.toml").write_text("", encoding="utf-8")
    alone = Promotion.here(here.rootdir, {})

    make(alone, release_with_files())
    alone.bring_releases()

    assert GitReference(here.rootdir, REFERENCE).fetch() == ""
