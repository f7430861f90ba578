"""Reports of the real Allure: history, environments, many files, and no network."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from pytest_gaia.report.viewer.page import OFFLINE
from tests.browser.reported import gaia_report
from tests.browser.tools import find_allure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.browser.pages import Pages

pytestmark = pytest.mark.slow("browser")


class Quiet(SimpleHTTPRequestHandler):
    """A handler without log output."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's own name
        """Print nothing."""


def write(folder: Path, run: str, environment: str | None, *, status: str = "passed") -> None:
    """Write the result of one test in the run ``run`` in ``environment``."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = [{"name": "env", "value": environment}] if environment else []
    document: dict[str, Any] = {
        "uuid": f"{run}-{environment}",
        "name": "test_one",
        "fullName": "test_small#test_one",
        "testCaseId": "one",
        "historyId": f"one-{environment}",
        "parameters": [{"name": "environment", "value": f"{environment}", "mode": "hidden"}],
        "status": status,
        "labels": labels,
        "start": 1,
        "stop": 2,
    }
    (folder / f"{run}-{environment}-result.json").write_text(json.dumps(document))


def report(project: Path, *arguments: str, **variables: str) -> dict[str, Any]:
    done = gaia_report(project, "--branch=main", "--json", *arguments, **variables)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with special characters of shells and globs in its name."""
    folder = tmp_path / "my [b]{c} (d) *?"
    folder.mkdir()
    (folder / "gaia.toml").write_text("")
    return folder


@pytest.fixture
def served() -> Iterator[Callable[[Path], str]]:
    """A web server for a folder."""
    servers: list[ThreadingHTTPServer] = []

    def serve(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


async def test_the_history_grows_up_to_its_limit(project: Path, pages: Pages) -> None:
    runs = []
    for run in ("first", "second", "second", "third"):
        shutil.rmtree(project / "allure-results", ignore_errors=True)
        write(project / "allure-results", run, "dev", status="failed" if run == "first" else "passed")
        runs.append(report(project, "--runs=2")["history"]["runs"])

    assert runs == [1, 2, 2, 2]
    watched = await pages.open(project / "gaia-report" / "index.html")
    await watched.page.get_by_text("test_one").first.click()
    # Only the previous run is listed.
    await expect(watched.page.get_by_role("button", name="History 1")).to_be_visible()


async def test_environments_stay_separate(project: Path, pages: Pages) -> None:
    write(project / "dev", "run", "dev")
    write(project / "staging", "run", "staging", status="failed")

    said = report(project, "dev", "staging")

    assert (said["tests"], said["retries"], said["environments"]) == (2, 0, ["dev", "staging"])
    assert said["history"]["file"].endswith("main/dev-staging-" + said["history"]["file"][-14:])
    page = (await pages.open(project / "gaia-report" / "index.html")).page
    await expect(page.get_by_text('Environment: "dev"')).to_be_visible()
    await expect(page.get_by_text('Environment: "staging"')).to_be_visible()


async def test_results_that_name_no_environment_can_be_given_one(project: Path, pages: Pages) -> None:
    write(project / "allure-results", "run", None)

    assert report(project, '--env=it\'s "dev"')["environments"] == ['it\'s "dev"']

    page = (await pages.open(project / "gaia-report" / "index.html")).page
    await expect(page.get_by_text('Gaia: it\'s "dev"')).to_be_visible()


async def test_many_files_run_under_the_same_expectations_from_a_server(
    project: Path, pages: Pages, served: Callable[[Path], str]
) -> None:
    write(project / "allure-results", "run", "dev", status="failed")

    report(project, "--files")

    watched = await pages.open(served(project / "gaia-report"))
    await watched.page.get_by_text("test_one").first.click()
    await expect(watched.page.get_by_text("Failed", exact=True).first).to_be_visible()
    assert watched.gone_out == []
    # Allure asks for measurements also where there are none.
    assert [each for each in watched.missing if "widgets/metrics.json" not in each] == []
    assert [each for each in watched.complaints if "Failed to load resource" not in each] == []


def test_allure_has_no_network_and_no_tokens(project: Path) -> None:
    write(project / "allure-results", "run", "dev")
    (project / "look.cjs").write_text(
        'require("node:fs").writeFileSync(process.env.LOOK, JSON.stringify(process.env));'
    )
    look = project / "seen.json"

    report(
        project,
        NODE_OPTIONS=f'--require "{project}/look.cjs"',
        LOOK=str(look),
        ALLURE_SERVICE_TOKEN="secret",
    )

    seen = json.loads(look.read_text())
    assert seen["ALLURE_SERVICE_TOKEN"] == ""
    assert "offline.cjs" in seen["NODE_OPTIONS"]


@pytest.mark.parametrize(
    "attempt",
    [
        'require("node:net").connect(45999, "127.0.0.1").on("error", raised)',
        'require("node:https").get("https://127.0.0.1:45999/").on("error", raised)',
        'fetch("http://127.0.0.1:45999/").catch(raised)',
        'require("node:dns").promises.lookup("localhost").catch(raised)',
        'require("node:dgram").createSocket("udp4").send("x", 45999, "127.0.0.1")',
    ],
)
def test_every_connection_is_refused(tmp_path: Path, attempt: str) -> None:
    find_allure()
    (tmp_path / "offline.cjs").write_text(OFFLINE)
    script = f"const raised = (error) => {{ throw error.cause ?? error; }}; {attempt};"

    done = subprocess.run(
        ["node", "--require", str(tmp_path / "offline.cjs"), "--eval", script],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert "reports are built offline" in done.stderr
