"""The links of the release report open the blocking test in the Allure report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.reported import gaia_report, make_project, run_checks
from tests.cli.conftest import gaia, pipeline, project
from tests.cli.release.signoff_files import evaluated, evaluated_in, run_kept, verdict_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.browser.pages import Pages
    from tests.cli.conftest import Outcome
    from tests.cli.evidence import Underway

pytestmark = pytest.mark.slow("browser")

__all__ = ["gaia", "pipeline", "project"]

BLOCKING = "suites/models/test_models.py::test_a_model_has_a_price"
PASSED = "test_the_gateway_is_healthy"


def make_report(folder: Path) -> None:
    """Run tests with one blocking failure, and write the report into ``gaia-report``."""
    make_project(folder)
    ran = run_checks(folder)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    made = gaia_report(folder)
    assert made.returncode == 0, made.stderr


def fail_in_staging(pipeline: Underway, project: Path) -> None:
    """Promote the release up to staging, where one test fails."""
    pipeline.through_local()
    pipeline.through_dev()
    pipeline.deploy("staging")
    tests = (*evaluated_in("staging"), evaluated(BLOCKING, "failed", "call: AssertionError: healthy", gates=True))
    verdict = verdict_of(pipeline, "staging", tests, verdict="REJECT", exit_code=1, reasons=("1 failed",))
    run_kept(pipeline, project, "staging", verdict, result="FAILED")


async def test_the_link_of_a_blocking_test_opens_the_report_at_that_test(
    pages: Pages, gaia: Callable[..., Outcome], pipeline: Underway, project: Path, tmp_path: Path
) -> None:
    beside = tmp_path / "beside"
    make_report(beside)
    fail_in_staging(pipeline, project)
    page_file = beside / "signoff.html"
    written = gaia(
        *("release", "report", pipeline.id, "--env", "staging"),
        *("--allure", "gaia-report/index.html", "--output", str(page_file)),
    )
    assert (written.code, written.err) == (0, "")

    watched = await pages.open(page_file)
    async with watched.page.expect_event("framenavigated"):
        await watched.page.locator("a[href*='query=test_a_model_has_a_price']").first.click()

    await watched.page.get_by_text("Powered by").wait_for()
    assert watched.page.url.startswith((beside / "gaia-report" / "index.html").as_uri())
    await expect(watched.page.get_by_text("test_a_model_has_a_price").first).to_be_visible()
    await expect(watched.page.get_by_text(PASSED)).to_have_count(0)
    assert watched.gone_out == []

    whole = await pages.open(beside / "gaia-report" / "index.html")
    await expect(whole.page.get_by_text(PASSED).first).to_be_visible()
