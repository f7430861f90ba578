"""The project as promotions see it: opened without making anything, and with every part where the settings say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.errors import ConfigError, DeployLocked
from pytest_gaia.promotion.ledger.statements import SIGNOFF, SignoffPredicate
from pytest_gaia.promotion.project import LOCK_REFERENCE, Promotion
from pytest_gaia.promotion.release.kept import keep_release
from pytest_gaia.system.processes import KEY_VARIABLE
from tests.projects import ON_GAIA
from tests.promotion.pipeline import made_release
from tests.repositories import Repository
from tests.rollout.deploy_files import write_fly_files

if TYPE_CHECKING:
    from pathlib import Path

    from tests.promotion.conftest import Keyring

NOW = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gaia.toml").write_text(ON_GAIA, encoding="utf-8")
    return tmp_path


def settings(folder: Path, text: str) -> Promotion:
    (folder / "gaia.toml").write_text(text, encoding="utf-8")
    return Promotion.here(folder, {})


def write(promotion: Promotion) -> None:
    says = SignoffPredicate(
        environment="dev",
        release="b",
        check="release",
        role="r",
        signer="s",
        time=NOW.isoformat(),
        until=NOW.isoformat(),
    )
    promotion.ledger.append(SIGNOFF, (), says, signers=promotion.signers())


def test_opening_a_project_makes_nothing(folder: Path) -> None:
    (folder / "deep" / "er").mkdir(parents=True)

    promotion = Promotion.here(folder / "deep" / "er", {})

    assert promotion.rootdir == folder
    assert promotion.ledger.entries() == ()
    assert promotion.signers() == []
    assert promotion.situation("production", made_release()).stage == promotion.stage("production")
    assert sorted(path.name for path in folder.iterdir()) == ["deep", "gaia.toml"]


def test_an_unknown_stage_names_the_nearest(folder: Path) -> None:
    promotion = Promotion.here(folder, {})

    for asked in (
        lambda: promotion.stage("prod"),
        lambda: promotion.lock("prod", "me"),
        lambda: promotion.situation("prod", made_release()),
        lambda: promotion.services("prod", made_release()),
    ):
        with pytest.raises(ConfigError, match="no stage is named 'prod'; did you mean production"):
            asked()
    with pytest.raises(ConfigError, match="no stage is named 'sandbox'"):
        promotion.stage("sandbox")


def test_the_ledger_is_where_the_settings_say(folder: Path) -> None:
    write(settings(folder, '[ledger]\npath = "evidence/ledger"\n'))

    assert [path.name for path in (folder / "evidence" / "ledger").iterdir()] == ["000001.json"]


def test_a_ledger_and_locks_in_git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository(folder, monkeypatch)
    promotion = settings(folder, '[ledger]\ngit = "refs/gaia/ledger"\n')

    write(promotion)
    promotion.lock("dev", "me").acquire(NOW)

    assert repository.git("ls-tree", "--name-only", "refs/gaia/ledger") == "000001.json"
    assert repository.git("ls-tree", "--name-only", LOCK_REFERENCE) == "dev.json"
    assert len(Promotion.here(folder, {}).ledger.entries()) == 1
    assert not (folder / ".gaia").exists()


def test_signatures_are_checked_with_the_keys_of_the_project(folder: Path, keyring: Keyring) -> None:
    keyring.make("ci", "ci")
    pem = keyring.private_pem()
    write(Promotion.here(folder, {KEY_VARIABLE: pem}))

    (entry,) = Promotion.here(folder, {}).ledger.entries()
    assert entry.problem.startswith("is signed by no trusted key")

    (folder / "keys").rename(folder / "trusted")
    assert settings(folder, '[ledger]\nkeys = "trusted"\n').ledger.keys[0].name == "ci"


def test_a_key_that_signs_does_not_show_itself(folder: Path, keyring: Keyring) -> None:
    pem = keyring.private_pem()

    promotion = Promotion.here(folder, {KEY_VARIABLE: pem})

    assert [key.source for key in promotion.signers()] == [KEY_VARIABLE]
    assert pem not in repr(promotion)


def test_of_two_holders_of_one_environment_one_goes_on(folder: Path) -> None:
    promotion = Promotion.here(folder, {})
    promotion.lock("dev", "Ann").acquire(NOW)

    with pytest.raises(DeployLocked, match="dev is locked by Ann"):
        promotion.lock("dev", "Bob").acquire(NOW)
    promotion.lock("staging", "Bob").acquire(NOW)


def test_a_release_of_the_project(folder: Path) -> None:
    release = keep_release(folder, made_release(), {})

    assert Promotion.here(folder, {}).release(release.short) == release


def test_what_a_stage_runs_is_what_is_deployed_there(folder: Path) -> None:
    """Its deploy files say it; the settings of its deployment choose among them, and those of the stage go before."""
    write_fly_files(folder / "deploy", "staging", "auth", "gateway", "nats")
    release = made_release()

    def services(text: str = "") -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
        promotion = settings(
            folder, f'[gaia]\nplatform = "gaia"\ndeploy_files = "deploy"\n[env.staging]\nfrom = "fly"\n{text}'
        )
        return promotion.stage("staging").services, promotion.services("staging", release)

    assert services() == (("nats", "auth", "gateway"), ("auth", "gateway"))
    assert services('deploy.services = ["gateway"]\n') == (("gateway",), ("gateway",))
    assert services('stage.services = ["auth"]\n') == (("auth",), ("auth",))


@pytest.mark.parametrize("text", [ON_GAIA, ""])
def test_where_nothing_is_deployed_from_here_all_of_a_release_has_to_run(folder: Path, text: str) -> None:
    promotion = settings(folder, text)

    assert promotion.stage("staging").services is None
    assert promotion.services("staging", made_release()) == ("auth", "gateway")


def test_deploy_files_that_are_not_there_are_named(folder: Path) -> None:
    promotion = settings(folder, '[env.staging]\nfrom = "fly"\n')

    with pytest.raises(ConfigError, match="no deploy files found for staging"):
        promotion.stage("staging")
    assert promotion.stage("dev").previous == "local"


def test_stages_are_those_of_the_files_whatever_the_variables_say(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAIA_ENV", "nothing-like-it")
    monkeypatch.setenv("GAIA_GATEWAY_URL", "no url")
    promotion = settings(folder, '[env.staging.stage]\nsoak = "1h"\n' + ON_GAIA)

    assert promotion.stage("staging") == replace(promotion.stages["staging"], services=None)
    assert promotion.stage("staging").soak.total_seconds() == 3600
