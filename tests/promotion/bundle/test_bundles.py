"""Bundles: their id, where they are kept, how they are found, and what they are made of."""

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
from pytest_gaia.observation.deployed import Sight
from pytest_gaia.promotion.bundle.checks import check_files, check_images, check_running, deploy_files
from pytest_gaia.promotion.bundle.kept import (
    FOLDER,
    all_bundles,
    bundle_files,
    configs_folder,
    find_bundle,
    keep_bundle,
    read_bundle,
    write_bundle,
)
from pytest_gaia.promotion.bundle.making import last_released, make_bundle
from pytest_gaia.promotion.bundle.model import Bundle, Component
from pytest_gaia.promotion.ledger.statements import sha256_of
from pytest_gaia.promotion.project import Promotion
from tests.config.reading import files_in
from tests.promotion.release import Release, made_bundle
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


def made(folder: Path, **how: object) -> Bundle:
    return make_bundle(Promotion.here(folder), [GATEWAY], **how)[0]  # type: ignore[arg-type]


@given(st.lists(PARTS, max_size=4), st.lists(st.text(max_size=3), max_size=3), st.randoms())
def test_the_id_depends_on_what_is_in_it_and_not_on_the_order_or_the_time(
    parts: list[Component], people: list[str], chance: object
) -> None:
    bundle = made_bundle(components=tuple(parts), authors=tuple(people), configs={"a": "1", "b": "2"})
    shuffle = chance.shuffle  # type: ignore[attr-defined]
    shuffle(parts)
    shuffle(people)

    same = made_bundle(components=tuple(parts), authors=tuple(people), configs={"b": "2", "a": "1"}, created="later")

    assert same.id == bundle.id
    assert msgspec.json.decode(msgspec.json.encode(bundle), type=Bundle).id == bundle.id


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
def test_whatever_changes_in_it_makes_another_bundle(change: dict[str, Any]) -> None:
    assert made_bundle(**change).id != made_bundle().id


def test_a_bundle_says_what_the_project_is(repository: Repository) -> None:
    repository.write("migrations/0007_more.sql")
    commit = repository.commit(author="Ann <Ann@Example.org>")

    bundle = made(repository.folder)

    assert (bundle.kind, bundle.commit, bundle.migration_head) == ("registry", commit, "0007_more")
    assert bundle.authors == ("ann@example.org", "dev@example.org")
    assert bundle.components == (GATEWAY,)
    assert bundle.configs == {
        name: sha256_of((repository.folder / "deploy" / name).read_bytes())
        for name in ("docker-compose.yml", "fly.auth.dev.toml", "fly.gateway.dev.toml", "fly.gateway.production.toml")
    }
    assert made(repository.folder).id == bundle.id
    assert made(repository.folder, head="0008").migration_head == "0008"


def test_a_changed_work_tree_is_refused_or_makes_a_local_bundle(repository: Repository) -> None:
    clean = repository.git("rev-parse", "HEAD")
    for number in range(7):
        repository.write(f"new{number}.py")

    with pytest.raises(ConfigError, match=r"not what the commit says: new0\.py, .*new4\.py and 2 more\. Nothing"):
        made(repository.folder)
    bundle = made(repository.folder, allow_dirty=True)

    assert (bundle.kind, bundle.commit) == ("local", f"{clean}-dirty")


def test_a_clean_work_tree_stays_one_while_bundles_and_entries_are_kept(repository: Repository) -> None:
    repository.write(".gitignore", "")
    repository.write("gaia.toml", '[gaia]\ndeploy_files = "deploy"\n[ledger]\npath = "ledger"\n')
    repository.commit()
    repository.write("ledger/000001.json")
    first = keep_bundle(repository.folder, *make_bundle(Promotion.here(repository.folder), [GATEWAY]))

    assert made(repository.folder, allow_dirty=True).id == first.id


def test_images_of_one_machine_make_a_local_bundle(repository: Repository) -> None:
    assert made(repository.folder, only_here=True).kind == "local"


def test_a_bundle_without_images_is_none(repository: Repository) -> None:
    with pytest.raises(ConfigError, match="a bundle needs images"):
        make_bundle(Promotion.here(repository.folder), [])


def test_authors_begin_after_the_last_bundle_that_passed_productions_gate(
    repository: Repository, keyring: Keyring
) -> None:
    promotion = Promotion.here(repository.folder)
    released = repository.commit("released", author="Old <old@example.org>")
    bundle = keep_bundle(repository.folder, *make_bundle(promotion, [GATEWAY]))
    repository.commit("new", author="Ann <ann@example.org>")
    release = Release(keyring, repository.folder / ".gaia" / "ledger", bundle=bundle)
    repository.write(".gitignore", ".gaia/\nkeys/\n")
    repository.commit("ignore", author="Ann <ann@example.org>")
    assert "old@example.org" in made(repository.folder).authors

    release.all_but()
    release.gate("production")

    assert last_released(Promotion.here(repository.folder)) == released
    assert made(repository.folder).authors == ("ann@example.org",)


@pytest.mark.parametrize("by", [None, "rita"], ids=["nobody", "somebody who is not trusted to"])
def test_a_gate_that_nobody_vouches_for_released_nothing(
    repository: Repository, keyring: Keyring, by: str | None
) -> None:
    bundle = keep_bundle(repository.folder, *make_bundle(Promotion.here(repository.folder), [GATEWAY]))
    release = Release(keyring, repository.folder / ".gaia" / "ledger", bundle=bundle)
    release.all_but()

    release.gate("production", by)

    assert last_released(Promotion.here(repository.folder)) is None


def test_a_bundle_can_be_made_before_production_has_deploy_files(repository: Repository) -> None:
    repository.write("gaia.toml", '[gaia]\ndeploy_files = "deploy"\n[env.production]\nfrom = "fly"\n')
    (repository.folder / "deploy" / "fly.gateway.production.toml").unlink()
    repository.commit()
    keep_bundle(repository.folder, *make_bundle(Promotion.here(repository.folder), [GATEWAY]))

    assert set(made(repository.folder).configs) == {"docker-compose.yml", "fly.auth.dev.toml", "fly.gateway.dev.toml"}


def test_a_bundle_is_kept_with_its_deploy_files(repository: Repository) -> None:
    bundle, files = make_bundle(Promotion.here(repository.folder), [GATEWAY])

    kept = keep_bundle(repository.folder, bundle, files)

    assert kept == bundle == read_bundle(repository.folder / FOLDER / f"{bundle.id}.json")
    assert deploy_files(files_in(configs_folder(repository.folder, bundle))) == files
    assert all_bundles(repository.folder) == (bundle,)
    assert [path.name for path in (repository.folder / FOLDER).rglob(".*")] == []


def test_the_same_bundle_made_again_is_the_first_one(repository: Repository) -> None:
    bundle, files = make_bundle(Promotion.here(repository.folder), [GATEWAY])
    keep_bundle(repository.folder, bundle, files)

    again = keep_bundle(repository.folder, msgspec.structs.replace(bundle, created="2030-01-01T00:00:00Z"), files)

    assert again.created == bundle.created
    assert len(bundle_files(repository.folder)) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_a_message(tmp_path: Path) -> None:
    (tmp_path / ".gaia").mkdir(mode=0o500)

    with pytest.raises(ConfigError, match=r"\.gaia/bundles: the bundle cannot be kept: Permission denied"):
        keep_bundle(tmp_path, made_bundle(), {})


def test_a_file_in_the_place_of_the_folder_is_a_message(tmp_path: Path) -> None:
    (tmp_path / ".gaia").write_text("")

    with pytest.raises(ConfigError, match=r"\.gaia/bundles: the bundle cannot be kept: .*Nothing was made"):
        keep_bundle(tmp_path, made_bundle(), {})


def test_a_kill_before_the_end_leaves_no_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine goes down while the bundle's own file is written: whatever is there by then is no bundle."""
    synced: list[int] = []

    def power_cut(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", power_cut)
    with pytest.raises(KeyboardInterrupt):
        keep_bundle(tmp_path, made_bundle(), {"fly.auth.dev.toml": b"x"})
    monkeypatch.undo()

    assert bundle_files(tmp_path) == {}
    assert keep_bundle(tmp_path, made_bundle(), {"fly.auth.dev.toml": b"x"}) == made_bundle()


def test_a_bundle_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    bundles = [keep_bundle(tmp_path, made_bundle(f"{number}"), {}) for number in range(3)]

    for bundle in bundles:
        assert find_bundle(tmp_path, bundle.id) == bundle
        assert find_bundle(tmp_path, bundle.short.upper()) == bundle


def test_a_bundle_is_found_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle(tmp_path / "bundle.json", made_bundle())
    monkeypatch.chdir(tmp_path)

    assert find_bundle(tmp_path / "elsewhere", "bundle.json") == made_bundle()
    assert find_bundle(tmp_path, str(tmp_path / "bundle.json")) == made_bundle()
    with pytest.raises(ConfigError, match=r"other\.json: cannot be read: No such file"):
        find_bundle(tmp_path, "other.json")


def test_a_bundle_that_is_not_found_names_those_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"there is no bundle in \.gaia/bundles yet\. Make one"):
        find_bundle(tmp_path, "abcd")
    known = [keep_bundle(tmp_path, made_bundle(f"{number}"), {}) for number in range(10)]
    for age, bundle in enumerate(reversed(known)):
        os.utime(tmp_path / FOLDER / f"{bundle.id}.json", (age * -60 + 10**9,) * 2)

    with pytest.raises(ConfigError) as raised:
        find_bundle(tmp_path, "zzzz")
    assert f"newest first: {known[-1].short}, {known[-2].short}" in str(raised.value)
    assert "and 2 more" in str(raised.value)
    with pytest.raises(ConfigError, match="give at least 4 digits"):
        find_bundle(tmp_path, known[0].id[:3])


def test_a_beginning_that_several_share_asks_for_more(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    for end in "ab":
        (folder / f"{'0' * 63}{end}.json").write_text("{}")

    with pytest.raises(ConfigError, match=r"2 bundles begin so; give more digits\. Known"):
        find_bundle(tmp_path, "0000")


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
def test_a_kept_bundle_that_was_edited_is_none(tmp_path: Path, change: Callable[[dict[str, object]], object]) -> None:
    bundle = keep_bundle(tmp_path, made_bundle(), {})
    path = tmp_path / FOLDER / f"{bundle.id}.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))

    with pytest.raises(ConfigError, match="it was changed: what it holds now is"):
        find_bundle(tmp_path, bundle.short)
    assert all_bundles(tmp_path) == ()


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": "gaia-bundle/2"}', '{"id": "\\ud800"}', "\x00"])
def test_what_is_no_bundle_is_said_so(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)

    with pytest.raises(ConfigError, match=r"x\.json: not a bundle: .*`gaia bundle create` makes one"):
        read_bundle(tmp_path / "x.json")


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
    bundle = made_bundle(components=(Component("gateway", image, named),))

    assert statuses(check_images(bundle)) == {"image gateway": status}


def test_deploy_files_are_compared_one_by_one() -> None:
    bundle = made_bundle(configs={"a": sha256_of(b"1"), "b": sha256_of(b"1"), "c": sha256_of(b"1")})

    checks = list(check_files(bundle, {"a": b"1", "b": b"2", "d": b"1"}, what="deploy file"))

    assert {each.what: each.why for each in checks} == {
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
    ("observation", "status", "why"),
    [
        (seen(DIGEST, DIGEST), "same", ""),
        (seen("sha256:2"), "differs", f"gaia-gateway runs sha256:2, the bundle has {DIGEST[:19]}"),
        (seen(DIGEST, "sha256:2"), "differs", "gaia-gateway runs 2 images: "),
        (seen(DIGEST, None), "differs", "gaia-gateway does not say which image it runs"),
        (seen(), "differs", "gaia-gateway has no machine"),
        (seen(exists=False), "differs", "gaia-gateway was never deployed"),
        (None, "unknown", "the API does not answer"),
    ],
)
def test_what_runs_is_compared(observation: Observation | None, status: str, why: str) -> None:
    problem = "" if observation else "the API does not answer"
    sight = Sight("gateway", "gaia-gateway", observation, problem)

    (check,) = check_running(made_bundle(components=(GATEWAY,)), [sight], "staging")

    assert (check.what, check.status) == ("running gateway", status)
    assert check.why.startswith(why)


def test_a_service_that_only_one_of_both_has_is_left_out() -> None:
    bundle = made_bundle(components=(GATEWAY, Component("auth", f"r/auth@{DIGEST}", DIGEST)))
    sights = [Sight("gateway", "g", seen(DIGEST)), Sight("nats", "n", seen(DIGEST))]

    assert statuses(check_running(bundle, sights, "staging")) == {
        "running auth": "left out",
        "running gateway": "same",
        "running nats": "left out",
    }
