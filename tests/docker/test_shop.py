"""examples/shop on a real engine: built, deployed, tested, changed, and deployed again."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.docker import machine_image
from tests.docker.engine import ROOT, Project

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docker.engine import Engine

SHOP = ROOT / "examples" / "shop"


FAILS = """\
async def test_a_quote_without_a_quantity_is_refused(orders):
    (await orders.post("/v2/quotes", json={"sku": "mug"})).expect(422)
"""


def outcomes(out: str) -> dict[str, str]:
    """Return service → outcome of the table of `gaia deploy`."""
    return {
        words[0]: words[2] for line in out.splitlines()[1:] if len(words := line.split()) > 3 and ":" not in words[0]
    }


def test_the_shop_is_deployed_and_tested(engine: Engine, tmp_path: Path) -> None:
    machine_image.load(engine, tmp_path)
    folder = tmp_path / "shop"
    shutil.copytree(SHOP, folder, ignore=shutil.ignore_patterns(".gaia", "__pycache__"))
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(machine_image.pinned(dockerfile.read_text(encoding="utf-8")), encoding="utf-8")
    shop = Project(engine, folder)
    try:
        deployed = shop.gaia("deploy", "local")
        assert deployed.code == 0, deployed.err + deployed.out
        assert set(outcomes(deployed.out).values()) == {"deployed"}
        assert len(outcomes(deployed.out)) == 6

        tested = shop.pytest("--gaia-env=local", GAIA_LOCAL_ORDERS_DB_URL="postgresql://shop@localhost:5432/shop")
        assert "gaia verdict: PROMOTE on local" in tested.out, tested.out
        assert tested.code == 0

        shop.write("suites/quotes/test_form.py", FAILS)
        failed = shop.pytest(
            "--gaia-env=local", "-m", "quotes", GAIA_LOCAL_ORDERS_DB_URL="postgresql://shop@localhost:5432/shop"
        )
        assert failed.code == 1, failed.out
        request_id = failed.out.partition("request ID ")[2].partition(",")[0]
        lines = failed.out.partition(" log of orders -")[2]
        assert " ERROR POST /v2/quotes 500 " in lines
        assert f"x-request-id={request_id} " in lines
        assert "\nKeyError: 'quantity'\n" in lines

        # Compose runs the migration again, because others wait for its end.
        again = outcomes(shop.gaia("deploy", "local").out)
        assert {service for service, outcome in again.items() if outcome != "unchanged"} == {"migrate"}

        shop.change("Billing", "Billing, changed", "services/billing.py")
        assert outcomes(shop.gaia("deploy", "local").out)["billing"] == "deployed"
    finally:
        engine.remove("shop")
