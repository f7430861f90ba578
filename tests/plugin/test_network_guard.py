"""Connections to services without their clients: refused where writing is forbidden, and a warning elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin import connecting
from tests.plugin.concurrency.conftest import counting
from tests.plugin.concurrency.runs import GAIA, NUMBERS, Ended, Server, make_project, run

__all__ = ["counting"]

SUITE = Path(connecting.__file__)


def run_suite(folder: Path, server: Server, settings: str, number: int = 1) -> Ended:
    """Run the suite in an environment with these settings."""
    gaia = GAIA.replace("writes = true", settings) + f'[env.other]\nhosts = ["{connecting.FOREIGN}", "*.example.com"]\n'
    source = SUITE.read_text().replace("SHOP_URL", server.url)
    return run(make_project(folder, source, gaia=gaia), server.url, number, "--tb=short")


@pytest.mark.parametrize("number", NUMBERS)
def test_no_way_to_connect_without_a_client_works_where_writing_is_forbidden(
    tmp_path: Path, counting: Server, number: int
) -> None:
    ended = run_suite(tmp_path, counting, "writes = false", number)

    assert set(counting.seen) == {"GET /items"}
    for way in connecting.WAYS:
        assert f"test_connects[{way}]" in ended.output
