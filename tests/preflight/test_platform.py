"""Every check means the services and the environments of the project, whatever they are called."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_gaia.config import layers
from tests.preflight.sets import BROKEN, CORRECTED, Spot, look, spots

SERVICES = {"gateway": "edge", "auth": "badge", "asset": "apples", "chat": "chums"}
BROKER = {
    "gaia-nats": "gaia-bus",
    "nats.production": "bus.production",
    "nats.staging": "bus.staging",
    '"nats"]': '"bus"]',
    '"nats", ': '"bus", ',
    "services.nats": "services.bus",
}
STAGES = {"production": "live", "staging": "qa"}
DESCRIPTION = (Path(layers.__file__).parent / "platforms/gaia.toml").read_text(encoding="utf-8").partition("[env.")[0]


def renamed(text: str, names: dict[str, str]) -> str:
    """Replace each word, in capitals too, but not as a part of another one."""
    for old, new in names.items():
        text = re.sub(rf"(?<![a-z]){re.escape(old)}(?![a-z])", new, text)
        text = re.sub(rf"(?<![A-Z]){re.escape(old.upper())}(?![A-Z])", new.upper(), text)
    return text


def copied(source: Path, target: Path, names: dict[str, str], settings: str = "") -> Path:
    """Copy a set of files with other names, in a project that describes its services itself."""
    for path in (each for each in source.rglob("*") if each.is_file()):
        to = target / renamed(path.relative_to(source).as_posix(), names)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(renamed(path.read_text(encoding="utf-8"), names), encoding="utf-8")
    own = (target / "gaia.toml").read_text(encoding="utf-8").replace('platform = "gaia"', "")
    described = renamed(DESCRIPTION, names).replace('badge = "none"', 'auth = "none"')
    (target / "gaia.toml").write_text(f"{own}\n{described}\n{settings}", encoding="utf-8")
    return target


def test_the_same_is_found_whatever_the_services_are_called(tmp_path: Path) -> None:
    names = {**SERVICES, **BROKER}
    expected = {Spot(renamed(each.file, names), each.line, each.check) for each in spots(look(BROKEN))}

    assert spots(look(copied(BROKEN, tmp_path, names))) == expected


ROLES = {
    "[env.qa]": '[env.qa]\nrole = "staging"',
    "[env.live]": '[env.live]\nrole = "production"\nstage = { promote_from = "qa" }',
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The corrected set, with other services, and environments that only their roles explain."""
    folder = copied(CORRECTED, tmp_path, {**SERVICES, **BROKER, **STAGES})
    text = (folder / "gaia.toml").read_text(encoding="utf-8")
    for old, new in ROLES.items():
        text = text.replace(old, new)
    (folder / "gaia.toml").write_text(text, encoding="utf-8")
    return folder


def test_nothing_is_found_where_only_names_are_others(shop: Path) -> None:
    assert look(shop) == []


@pytest.mark.parametrize(
    ("check", "file", "old", "new"),
    [
        ("too-few-machines", "fly.chums.live.toml", "min_machines_running = 2", "min_machines_running = 1"),
        ("undeclared-difference", "fly.chums.live.toml", 'interval = "15s"', 'interval = "20s"'),
        ("missing-service", "fly.chums.live.toml", "", ""),
        ("topology-claim", "gaia.toml", '"chums", ', ""),
        ("foreign-host", "fly.edge.live.toml", "gaia-chums-live", "gaia-chums-qa"),
        ("unguarded-production", ".github/workflows/deploy.yml", "[build, qa]", "[build]"),
        ("health-path", "fly.chums.live.toml", 'path = "/health"', 'path = "/live"'),
        ("app-name", "fly.chums.live.toml", "gaia-chums-live", "gaia-chumps-live"),
    ],
)
def test_roles_and_services_decide_what_is_wrong(shop: Path, check: str, file: str, old: str, new: str) -> None:
    path = shop / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    if old:
        path.write_text(text.replace(old, new), encoding="utf-8")
    else:
        path.unlink()

    assert check in {each.check for each in look(shop)}


def test_a_service_has_its_own_health_path_and_may_run_once(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").write_text(
        '[services.orders]\nhealth = "/ready"\n[services.schema]\nonce = true\n', encoding="utf-8"
    )
    ends = "{condition: service_completed_successfully}"
    check = '{test: "curl http://localhost:8000/%s", interval: 5s, start_period: 5s}'
    (tmp_path / "compose.yaml").write_text(
        f"services:\n  orders: {{image: 'o:1', restart: always, healthcheck: {check % 'ready'}}}\n"
        f"  web: {{image: 'w:1', restart: always, healthcheck: {check % 'health'}, "
        f"depends_on: {{schema: {ends}, seed: {ends}}}}}\n"
        "  schema: {image: 's:1'}\n  seed: {image: 's:1'}\n",
        encoding="utf-8",
    )

    assert look(tmp_path) == []
    settings = (tmp_path / "gaia.toml").read_text(encoding="utf-8")
    (tmp_path / "gaia.toml").write_text(settings.replace("once = true", ""), encoding="utf-8")
    assert {each.check for each in look(tmp_path)} == {"container-unchecked", "restart-policy"}


def test_a_compose_file_of_services_that_nobody_declares_is_checked_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        'services:\n  web: {image: "nginx"}\n  db: {image: "postgres:16", ports: ["5432:5432"]}\n', encoding="utf-8"
    )

    assert {"image-tag", "open-database", "container-unchecked"} <= {each.check for each in look(tmp_path)}
