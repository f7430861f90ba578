"""The example in examples/shop: a project with its own services, and nothing of the Gaia Platform."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from pytest_gaia.cli.app import run
from pytest_gaia.config.project import Project
from tests.docs.pages import FOUR_WEEKS, ROOT, TODAY

SHOP = ROOT / "examples" / "shop"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example, as the current folder; without variables of Gaia."""
    for name in list(os.environ):
        if name.startswith("GAIA_"):
            monkeypatch.delenv(name)
    folder = tmp_path / "shop"
    shutil.copytree(SHOP, folder, ignore=shutil.ignore_patterns(".gaia", "__pycache__"))
    for path in (folder / "suites" / "expectations").iterdir():
        text = re.sub("^created = .*", f"created = {TODAY}", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        path.write_text(re.sub("expires = .*", f"expires = {TODAY + FOUR_WEEKS}", text), encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


def test_every_service_of_the_shop_is_its_own(shop: Path) -> None:
    platform = Project(shop).platform

    assert platform.names == ("web", "orders", "billing", "orders-db", "redis")
    assert platform.waves(platform.names) == (("orders-db", "redis"), ("orders", "billing"), ("web",))
    assert all(service.place.startswith("gaia.toml:") for service in platform.services.values())


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("env list", "qa"),
        ("env show qa", "https://shop-orders-qa.example.com"),
        ("config check", ""),
        ("expectations list", "SHOP-21"),
        ("expectations check", "1 expectation"),
        ("doctor", "configuration"),
    ],
)
def test_commands_in_the_shop_succeed_and_show_nothing_of_the_gaia_platform(
    shop: Path, line: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(line.split())

    out, err = capsys.readouterr()
    # The environment local is deployed by Docker, which a machine may not have.
    lacks_docker = line == "doctor" and shutil.which("docker") is None
    assert code == (1 if lacks_docker else 0), err
    assert shown in out
    assert re.search(r"fly\.dev|\bgaia-(?:gateway|auth|asset|chat|nats)|\bgateway\b|\bnats\b", out) is None, out
