"""The reference of the configuration agrees with the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gaia.cli.settings.values import span
from pytest_gaia.config.assemble import setting_keys
from pytest_gaia.config.layers import shipped_file
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.config.schema import (
    DeployTable,
    EnvironmentTable,
    FreezeTable,
    GaiaTable,
    LedgerTable,
    SloTable,
    StageTable,
    ToleranceTable,
)
from pytest_gaia.config.services import TimeoutTable
from pytest_gaia.config.variables import SECRET_KEYS
from pytest_gaia.files.decoding import keys_of
from tests.projects import ON_GAIA

FOLDER = Path(__file__).parents[2] / "docs/reference"
REFERENCE = (FOLDER / "configuration.md").read_text(encoding="utf-8")
PROMOTION = (FOLDER / "promotion.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "key",
    [
        *(key for key in keys_of(EnvironmentTable) if key not in ("urls", "timeouts", "tolerance", "deploy", "stage")),
        *(f"timeouts.{key}" for key in keys_of(TimeoutTable)),
        *(f"tolerance.{key}" for key in keys_of(ToleranceTable)),
        *(f"deploy.{key}" for key in keys_of(DeployTable)),
        *(f"stage.{key}" for key in keys_of(StageTable)),
    ],
)
def test_every_key_of_an_environment_is_in_the_table(key: str) -> None:
    assert f"`{key}`" in "".join(line for line in REFERENCE.splitlines() if line.startswith("|"))


def test_the_way_of_a_release_is_described_key_by_key() -> None:
    tables = {f"`{line.split('|')[1].strip(' `')}`": line for line in PROMOTION.splitlines() if line.startswith("| `")}
    for kind in (StageTable, LedgerTable, SloTable, FreezeTable):
        assert {f"`{key}`" for key in keys_of(kind)} <= tables.keys()


def test_the_shipped_stages_are_as_described(tmp_path: Path) -> None:
    rows = {line.split("|")[1].strip(" `"): line for line in PROMOTION.splitlines() if line.startswith("| `")}
    for name, stage in Project(tmp_path).stages.items():
        cells = [cell.strip(" `") for cell in rows[name].split("|")[2:-1]]
        assert cells == [
            stage.previous or "none",
            span(stage.soak) if stage.soak else "none",
            span(stage.evidence_age),
            ", ".join(stage.sign) or "none",
            "yes" if stage.require_signed else "no",
        ]


def test_the_example_of_a_release_is_a_valid_project(tmp_path: Path) -> None:
    example = PROMOTION.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "gaia.toml").write_text(example, encoding="utf-8")

    staging = Project(tmp_path).stages["staging"]

    assert staging.freezes
    assert len(staging.slos) == 1
    assert Project(tmp_path).ledger.git == "refs/gaia/ledger"


def test_every_key_of_the_project_is_in_the_example() -> None:
    for key in keys_of(GaiaTable):
        assert f"\n{key} = " in REFERENCE


def test_every_variable_is_described() -> None:
    for name in ("<NAME>_URL", *SECRET_KEYS.values()):
        assert f"`GAIA_{name}`" in REFERENCE


def test_the_shipped_environments_are_as_described(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").write_text(ON_GAIA, encoding="utf-8")
    rows = {line.split("|")[1].strip(" `"): line for line in REFERENCE.splitlines() if line.startswith("| `")}
    for name in Project(tmp_path).environments:
        environment = resolve(Options(project=Project(tmp_path), environ={}, env=name))
        cells = [cell.strip(" `") for cell in rows[name].split("|")[2:-1]]
        assert cells[0] in (", ".join(environment.services), "all")
        broker = "disabled" if "nats" in environment.disabled else environment.url_of("nats")
        assert cells[2] in (broker, "its own")
        assert cells[3] == ("yes" if environment.writes else "no")
        assert cells[4] == ("all" if environment.suites is None else ", ".join(environment.suites))


def test_the_safe_posts_are_as_described() -> None:
    operations = {str(each) for service in shipped_file("gaia").platform.services.values() for each in service.safe}
    assert {each for each in operations if f"`{each}`" not in REFERENCE} == set()


def test_the_example_is_a_valid_project(tmp_path: Path) -> None:
    (tmp_path / "suites").mkdir()
    example = REFERENCE.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "gaia.toml").write_text(example, encoding="utf-8")

    preview = resolve(Options(project=Project(tmp_path), environ={}, env="preview"))

    assert preview.urls == {"orders": "https://orders.preview.example.com"}
    assert preview.writes


def test_every_setting_that_is_shown_has_a_source(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").write_text(ON_GAIA, encoding="utf-8")
    dev = resolve(Options(project=Project(tmp_path), environ={"GAIA_API_KEY": "k"}, env="dev"))

    absent = {"release", "urls.postgres", "secrets.jwt_secret", "secrets.token", "from"}
    absent |= {key for key in setting_keys(dev.platform) if key.startswith("deploy.")}
    absent |= {f"urls.{service}" for service in dev.platform.without}
    assert set(dev.sources) == set(setting_keys(dev.platform)) - absent
