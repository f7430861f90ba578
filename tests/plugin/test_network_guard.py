"""Connections to services without their clients: refused where writing is forbidden, and a warning elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin import connecting
from tests.plugin.concurrency.conftest import counting
from tests.plugin.concurrency.runs import GAIA, NUMBERS, Ended, Server, make_project, run
from tests.plugin.expectations import SHADOWED
from tests.slow import with_workers

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
    kinds = {
        each["node"].partition("[")[2].rstrip("]"): {
            phase["failure"]["kind"] for phase in each["phases"] if "failure" in phase
        }
        for each in ended.tests
    }
    # A thread of a pool belongs to no test, so the failure is that of the current one.
    assert [way for way in connecting.WAYS if "direct connection" not in kinds[way] and way != "an executor"] == []
    assert kinds["an executor"]


def test_a_refusal_names_its_place_and_what_to_do_and_only_its_kind_covers_it(tmp_path: Path, counting: Server) -> None:
    source = """
import urllib.request

async def test_ignores(shop):
    (await shop.get("/items")).expect(200)
    try:
        urllib.request.urlopen(shop.base_url + "/items", data=b"{}")
    except OSError:
        pass

async def test_raises(shop):
    (await shop.get("/items")).expect(200)
    urllib.request.urlopen(shop.base_url + "/items", data=b"{}")
"""
    project = make_project(tmp_path, source, gaia=GAIA.replace("writes = true", "writes = false"))
    expect(project, "test_ignores", "error")
    expect(project, "test_raises", "error")
    ended = run(project, counting.url, 1)

    assert ended.code == 1, ended.output
    assert set(counting.seen) == {"GET /items"}
    assert "2 failed" in ended.output
    first = f"suites/small/test_small.py:7 connects to shop at {counting.url[7:]} without its client; refused"
    assert first in ended.output
    assert 'Use the fixture shop, or mark the test: @pytest.mark.gaia(direct="why")' in ended.output

    expect(project, "test_ignores", "direct connection")
    assert "1 failed, 1 expected failure" in run(project, counting.url, 1).output


def expect(project: Path, test: str, kind: str) -> None:
    """Expect failures of a kind."""
    folder = project / "suites" / "expectations"
    folder.mkdir(exist_ok=True)
    tests = f'tests = ["suites/small/test_small.py::{test}"]'
    (folder / f"{test.replace('_', '-')}.toml").write_text(f'{SHADOWED}{tests}\nmatch = {{ kind = "{kind}" }}\n')


OTHERS = """
import subprocess
import sys
import urllib.request

import pytest

@pytest.mark.gaia(direct="it compares with another client")
async def test_permitted(shop):
    (await shop.get("/items")).expect(200)
    urllib.request.urlopen(shop.base_url + "/permitted")

@pytest.mark.gaia(direct="it did once")
async def test_permitted_in_vain(shop):
    (await shop.get("/items")).expect(200)

async def test_a_child(shop):
    (await shop.get("/items")).expect(200)
    subprocess.run([sys.executable, "-c", "import sys"])
    sys.modules.setdefault("psycopg2", sys)

@pytest.mark.parametrize("number", range(3))
async def test_other(shop, number):
    (await shop.get("/items")).expect(200)
    urllib.request.urlopen(shop.base_url + "/other")
"""


@pytest.mark.parametrize("processes", [(), with_workers("-n2")])
def test_what_is_permitted_and_what_is_not_monitored_is_listed(
    tmp_path: Path, counting: Server, processes: tuple[str, ...]
) -> None:
    source = OTHERS[: OTHERS.index('@pytest.mark.parametrize("number"')]
    project = make_project(tmp_path, source, gaia=GAIA.replace("writes = true", "writes = false"))
    ended = run(project, counting.url, 1, *processes)

    assert ended.code == 0, ended.output
    assert "GET /permitted" in counting.seen
    unused = "suites/small/test_small.py::test_permitted_in_vain: no direct connection was seen; remove `direct`"
    assert unused in ended.output
    assert "test_permitted: no direct" not in ended.output
    assert "not monitored: psycopg2, child processes: 1" in ended.output


def test_elsewhere_each_place_is_a_warning_and_nothing_is_refused(tmp_path: Path, counting: Server) -> None:
    ended = run(make_project(tmp_path, OTHERS, gaia=GAIA), counting.url, 1)

    assert ended.code == 0, ended.output
    assert counting.seen.count("GET /other") == 3
    line = OTHERS.splitlines().index('    urllib.request.urlopen(shop.base_url + "/other")') + 1
    warning = f"suites/small/test_small.py:{line} connects to shop at {counting.url[7:]} without its client"
    assert ended.output.count(warning) == 1
    assert "not monitored" not in ended.output


def test_direct_allow_permits_all_but_other_environments(tmp_path: Path, counting: Server) -> None:
    ended = run_suite(tmp_path, counting, 'writes = false\ndirect = "allow"')

    assert "POST /items" in counting.seen
    assert "without its client, so" not in ended.output
    assert f"{connecting.FOREIGN}:443 without its client; refused" in ended.output
    assert "it belongs to the environment other, and this run tests small" in ended.output


def test_the_reason_of_a_marker_is_text(tmp_path: Path, counting: Server) -> None:
    source = "import pytest\n@pytest.mark.gaia(direct=True)\nasync def test_it(shop): pass\n"
    ended = run(make_project(tmp_path, source), counting.url, 1)

    assert ended.code == 4
    assert '@pytest.mark.gaia(direct="…") takes the reason as text, got True.' in ended.output
