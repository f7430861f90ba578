"""Releases: their IDs, where they are saved, how they are found, and what they consist of."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.deploy.contract import Machine, Observation
from pytest_gaia.errors import ConfigError
from pytest_gaia.observation.deployed import ServiceObservation
from pytest_gaia.promotion.ledger.statements import sha256_of
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.release.comparison import check_files, check_images, check_running, deploy_files
from pytest_gaia.promotion.release.kept import (
    FOLDER,
    Component,
    Release,
    all_releases,
    configs_folder,
    find_release,
    keep_release,
    read_release,
    release_files,
    write_release,
)
from pytest_gaia.promotion.release.making import last_released, make_release
from tests.config.reading import files_in
from tests.promotion.pipeline import Pipeline, made_release
from tests.repositories import Repository
from tests.rollout.deploy_files import write_fly_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.promotion.conftest import Keyring

DIGEST = f"sha256:{1:064x}"
GATEWAY = Component("gateway", f"registry.fly.io/gaia-gateway-dev@{DIGEST}", DIGEST)
PARTS = st.builds(Component, st.sampled_from(["auth", "gateway", "chat"]), st.text(max_size=4), st.text(max_size=4))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A project in git, with deploy files of two environments."""
    made = Repository(tmp_path, monkeypatch)
    made.write(".gitignore", ".gaia/\n")
    made.write("gaia.toml", '[gaia]\ndeploy_files = "deploy"\n')
    write_fly_files(tmp_path / "deploy", "dev", "auth", "gateway")
    write_fly_files(tmp_path / "deploy", "production", "gateway")
    made.write("deploy/docker-compose.yml", "services: {}\n")
    made.write("deploy/fly.toml", "# no environment's")
    made.commit()
    return made


def made(folder: Path, **how: object) -> Release:
    return make_release(Promotion.here(folder), [GATEWAY], **how)[0]  # type: ignore[arg-type]


@given(st.lists(PARTS, max_size=4), st.lists(st.text(max_size=3), max_size=3), st.randoms())
def test_the_id_depends_on_what_is_in_it_and_not_on_the_order_or_the_time(
    parts: list[Component], people: list[str], chance: object
) -> None:
    release = made_release(components=tuple(parts), authors=tuple(people), configs={"a": "1", "b": "2"})
    shuffle = chance.shuffle  # type: ignore[attr-defined]
    shuffle(parts)
    shuffle(people)

    same = made_release(components=tuple(parts), authors=tuple(people), configs={"b": "2", "a": "1"}, created="later")

    assert same.id == release.id
    assert msgspec.json.decode(msgspec.json.encode(release), type=Release).id == release.id


@pytest.mark.parametrize(
    "change",
    [
        {"commit": "other"},
        {"kind": "local"},
        {"authors": ("other@example.org",)},
        {"migration_head": "0002"},
        {"configs": {"fly.auth.dev.toml": "00"}},
        {"components": (GATEWAY,)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changes_in_it_makes_another_release(change: dict[str, Any]) -> None:
    assert made_release(**change).id != made_release().id


def test_a_release_says_what_the_project_is(repository: Repository) -> None:
    repository.write("migrations/0007_more.sql")
    commit = repository.commit(author="Ann <Ann@Example.org>")

    release = made(repository.folder)

    assert (release.kind, release.commit, release.migration_head) == ("registry", commit, "0007_more")
    assert release.authors == ("ann@example.org", "dev@example.org")
    assert release.components == (GATEWAY,)
    assert release.configs == {
        name: sha256_of((repository.folder / "deploy" / name).read_bytes())
        for name in ("docker-compose.yml", "fly.auth.dev.toml", "fly.gateway.dev.toml", "fly.gateway.production.toml")
    }
    assert made(repository.folder).id == release.id
    assert made(repository.folder, head="0008").migration_head == "0008"


def test_a_changed_work_tree_is_refused_or_makes_a_local_release(repository: Repository) -> None:
    clean = repository.git("rev-parse", "HEAD")
    for number in range(7):
        repository.write(f"new{number}.py")

    with pytest.raises(ConfigError, match=r"uncommitted changes: new0\.py, .*new4\.py and 2 more\. No release"):
        made(repository.folder)
    release = made(repository.folder, allow_dirty=True)

    assert (release.kind, release.commit) == ("local", f"{clean}-dirty")


def test_a_clean_work_tree_stays_one_while_releases_and_entries_are_kept(repository: Repository) -> None:
    repository.write(".gitignore", "")
    repository.write("gaia.toml", '[gaia]\ndeploy_files = "deploy"\n[ledger]\npath = "ledger"\n')
    repository.commit()
    repository.write("ledger/000001.json")
    first = keep_release(repository.folder, *make_release(Promotion.here(repository.folder), [GATEWAY]))

    assert made(repository.folder, allow_dirty=True).id == first.id


def test_images_of_one_machine_make_a_local_release(repository: Repository) -> None:
    assert made(repository.folder, only_here=True).kind == "local"


def test_a_release_without_images_is_none(repository: Repository) -> None:
    with pytest.raises(ConfigError, match="a release needs images"):
        make_release(Promotion.here(repository.folder), [])


def test_authors_begin_after_the_last_release_that_passed_productions_gate(
    repository: Repository, keyring: Keyring
) -> None:
    promotion = Promotion.here(repository.folder)
    released = repository.commit("released", author="Old <old@example.org>")
    release = keep_release(repository.folder, *make_release(promotion, [GATEWAY]))
    repository.commit("new", author="Ann <ann@example.org>")
    pipeline = Pipeline(keyring, repository.folder / ".gaia" / "ledger", release=release)
    repository.write(".gitignore", ".gaia/\nkeys/\n")
    repository.commit("ignore", author="Ann <ann@example.org>")
    assert "old@example.org" in made(repository.folder).authors

    pipeline.all_but()
    pipeline.gate("production")

    assert last_released(Promotion.here(repository.folder)) == released
    assert made(repository.folder).authors == ("ann@example.org",)


@pytest.mark.parametrize("by", [None, "rita"], ids=["no key", "a key without this role"])
def test_a_gate_without_a_trusted_signature_released_nothing(
    repository: Repository, keyring: Keyring, by: str | None
) -> None:
    release = keep_release(repository.folder, *make_release(Promotion.here(repository.folder), [GATEWAY]))
    pipeline = Pipeline(keyring, repository.folder / ".gaia" / "ledger", release=release)
    pipeline.all_but()

    pipeline.gate("production", by)

    assert last_released(Promotion.here(repository.folder)) is None


def test_the_last_gate_that_counts_decides_what_was_released(repository: Repository, keyring: Keyring) -> None:
    pipeline = Pipeline(keyring, repository.folder / ".gaia" / "ledger")
    repository.write(".gitignore", ".gaia/\nkeys/\n")
    made = []
    for title in ("one", "two", "three"):
        repository.commit(title)
        pipeline.release = keep_release(repository.folder, *make_release(Promotion.here(repository.folder), [GATEWAY]))
        made.append(pipeline.release)
        pipeline.all_but()
    # The newest is without a signature, and the second passed later than the third.
    for number, by in ((2, "ci"), (0, "ci"), (1, "ci"), (2, None)):
        pipeline.release = made[number]
        pipeline.gate("production", by, verdict="PROMOTE")

    assert last_released(Promotion.here(repository.folder)) == made[1].commit


def test_a_release_can_be_made_before_production_has_deploy_files(repository: Repository) -> None:
    repository.write("gaia.toml", '[gaia]\ndeploy_files = "deploy"\n[env.production]\nfrom = "fly"\n')
    (repository.folder / "deploy" / "fly.gateway.production.toml").unlink()
    repository.commit()
    keep_release(repository.folder, *make_release(Promotion.here(repository.folder), [GATEWAY]))

    assert set(made(repository.folder).configs) == {"docker-compose.yml", "fly.auth.dev.toml", "fly.gateway.dev.toml"}


def test_a_release_is_kept_with_its_deploy_files(repository: Repository) -> None:
    release, files = make_release(Promotion.here(repository.folder), [GATEWAY])

    kept = keep_release(repository.folder, release, files)

    assert kept == release == read_release(repository.folder / FOLDER / f"{release.id}.json")
    assert deploy_files(files_in(configs_folder(repository.folder, release))) == files
    assert all_releases(repository.folder) == (release,)
    assert [path.name for path in (repository.folder / FOLDER).rglob(".*")] == []


def test_the_same_release_made_again_is_the_first_one(repository: Repository) -> None:
    release, files = make_release(Promotion.here(repository.folder), [GATEWAY])
    keep_release(repository.folder, release, files)

    again = keep_release(repository.folder, msgspec.structs.replace(release, created="2030-01-01T00:00:00Z"), files)

    assert again.created == release.created
    assert len(release_files(repository.folder)) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_a_message(tmp_path: Path) -> None:
    (tmp_path / ".gaia").mkdir(mode=0o500)

    with pytest.raises(ConfigError, match=r"\.gaia/\w+: the release cannot be saved: Permission denied"):
        keep_release(tmp_path, made_release(), {})


def test_a_file_in_the_place_of_the_folder_is_a_message(tmp_path: Path) -> None:
    (tmp_path / ".gaia").write_text("")

    with pytest.raises(ConfigError, match=r"\.gaia/\w+: the release cannot be saved: .*Nothing was created"):
        keep_release(tmp_path, made_release(), {})


def test_a_kill_before_the_end_leaves_no_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine goes down while the release's own file is written: whatever is there by then is no release."""
    synced: list[int] = []

    def power_cut(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", power_cut)
    with pytest.raises(KeyboardInterrupt):
        keep_release(tmp_path, made_release(), {"fly.auth.dev.toml": b"x"})
    monkeypatch.undo()

    assert release_files(tmp_path) == {}
    assert keep_release(tmp_path, made_release(), {"fly.auth.dev.toml": b"x"}) == made_release()


def test_a_release_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    releases = [keep_release(tmp_path, made_release(f"{number}"), {}) for number in range(3)]

    for release in releases:
        assert find_release(tmp_path, release.id) == release
        assert find_release(tmp_path, release.short.upper()) == release


def test_a_release_is_found_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_release(tmp_path / "bundle.json", made_release())
    monkeypatch.chdir(tmp_path)

    assert find_release(tmp_path / "elsewhere", "bundle.json") == made_release()
    assert find_release(tmp_path, str(tmp_path / "bundle.json")) == made_release()
    with pytest.raises(ConfigError, match=r"other\.json: the file cannot be read: No such file"):
        find_release(tmp_path, "other.json")


def test_a_release_that_is_not_found_names_those_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"the project has no release yet\. To create one"):
        find_release(tmp_path, "abcd")
    known = [keep_release(tmp_path, made_release(f"{number}"), {}) for number in range(10)]
    for age, release in enumerate(reversed(known)):
        os.utime(tmp_path / FOLDER / f"{release.id}.json", (age * -60 + 10**9,) * 2)

    with pytest.raises(ConfigError) as raised:
        find_release(tmp_path, "zzzz")
    assert f"newest first: {known[-1].short}, {known[-2].short}" in str(raised.value)
    assert "and 2 more" in str(raised.value)
    with pytest.raises(ConfigError, match="give at least 4 digits"):
        find_release(tmp_path, known[0].id[:3])


def test_a_beginning_that_several_share_asks_for_more(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    for end in "ab":
        (folder / f"{'0' * 63}{end}.json").write_text("{}")

    with pytest.raises(ConfigError, match=r"2 release IDs begin so; give more digits\. Known"):
        find_release(tmp_path, "0000")


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values | {"authors": []},
        lambda values: values | {"components": []},
        lambda values: values | {"kind": "local"},
        lambda values: values | {"commit": "f00"},
    ],
    ids=["authors", "components", "kind", "commit"],
)
def test_a_kept_release_that_was_edited_is_none(tmp_path: Path, change: Callable[[dict[str, object]], object]) -> None:
    release = keep_release(tmp_path, made_release(), {})
    path = tmp_path / FOLDER / f"{release.id}.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))

    with pytest.raises(ConfigError, match="the file was edited, and is now release"):
        find_release(tmp_path, release.short)
    assert all_releases(tmp_path) == ()


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": "gaia-bundle/2"}', '{"id": "\\ud800"}', "\x00"])
def test_what_is_no_release_is_said_so(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)

    with pytest.raises(ConfigError, match=r"x\.json: not a release: .*`gaia release create`"):
        read_release(tmp_path / "x.json")


def statuses(checks: object) -> dict[str, str]:
    return {each.what: each.status for each in checks}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("image", "named", "status"),
    [
        (f"r/gateway@{DIGEST}", DIGEST, "same"),
        ("r/gateway:1", DIGEST, "differs"),
        (f"r/gateway@sha256:{2:064x}", DIGEST, "differs"),
        ("r/gateway@sha256:12", "sha256:12", "differs"),
        ("r/gateway", "", "differs"),
    ],
)
def test_an_image_has_to_name_one_digest(image: str, named: str, status: str) -> None:
    release = made_release(components=(Component("gateway", image, named),))

    assert statuses(check_images(release)) == {"image gateway": status}


def test_deploy_files_are_compared_one_by_one() -> None:
    release = made_release(configs={"a": sha256_of(b"1"), "b": sha256_of(b"1"), "c": sha256_of(b"1")})

    checks = list(check_files(release, {"a": b"1", "b": b"2", "d": b"1"}, what="deploy file"))

    assert {each.what: each.reason for each in checks} == {
        "deploy file a": "",
        "deploy file b": "was changed",
        "deploy file c": "is gone",
        "deploy file d": "is new",
    }
    assert [each.status for each in checks] == ["same", "differs", "differs", "differs"]


def seen(*images: str | None, exists: bool = True) -> Observation:
    machines = (
        Machine(id=str(number), state="started", image="r/gateway", digest=image) for number, image in enumerate(images)
    )
    return Observation(app="gaia-gateway", exists=exists, machines=tuple(machines))


@pytest.mark.parametrize(
    ("observation", "status", "reason"),
    [
        (seen(DIGEST, DIGEST), "same", ""),
        (seen("sha256:2"), "differs", f"gaia-gateway runs sha256:2, the release has {DIGEST[:19]}"),
        (seen(DIGEST, "sha256:2"), "differs", "gaia-gateway runs 2 images: "),
        (seen(DIGEST, None), "differs", "gaia-gateway does not report its image"),
        (seen(), "differs", "gaia-gateway has no machine"),
        (seen(exists=False), "differs", "gaia-gateway was never deployed"),
        (None, "unknown", "the API does not respond"),
    ],
)
def test_what_runs_is_compared(observation: Observation | None, status: str, reason: str) -> None:
    problem = "" if observation else "the API does not respond"
    observed = ServiceObservation("gateway", "gaia-gateway", observation, problem)

    (check,) = check_running(made_release(components=(GATEWAY,)), [observed], "staging")

    assert (check.what, check.status) == ("running gateway", status)
    assert check.reason.startswith(reason)


def test_a_service_that_only_one_of_both_has_is_left_out() -> None:
    release = made_release(components=(GATEWAY, Component("auth", f"r/auth@{DIGEST}", DIGEST)))
    observations = [ServiceObservation("gateway", "g", seen(DIGEST)), ServiceObservation("nats", "n", seen(DIGEST))]

    assert statuses(check_running(release, observations, "staging")) == {
        "running auth": "left out",
        "running gateway": "same",
        "running nats": "left out",
    }
