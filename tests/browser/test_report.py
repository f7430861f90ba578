"""The HTML report of a real run in a browser: its summary, its content, and no requests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.reported import EXPIRES, gaia_report, make_project, run_checks

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Page

    from tests.browser.pages import Pages, Watched

pytestmark = pytest.mark.slow("browser")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of one run."""
    project = make_project(tmp_path_factory.mktemp("reported"))
    ran = run_checks(project)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    made = gaia_report(project)
    assert made.returncode == 0, made.stderr
    assert "4 tests: 1 passed, 3 failed; 1 failure is known" in made.stdout
    return project / "gaia-report" / "index.html"


@pytest.fixture
def whole(page_file: Path) -> str:
    """Its text."""
    return page_file.read_text(encoding="utf-8")


async def opened(pages: Pages, page_file: Path, tab: str = "Results") -> Watched:
    watched = await pages.open(page_file)
    await watched.page.get_by_text("Powered by").wait_for()
    await watched.page.get_by_role("button", name=re.compile(f"^{tab}")).first.click()
    return watched


async def go_to(page: Page, test: str) -> None:
    await page.get_by_text(test).first.click()
    await page.get_by_text("Test body").first.wait_for()


async def test_no_view_of_the_report_makes_a_request(pages: Pages, page_file: Path) -> None:
    watched = await opened(pages, page_file)
    page = watched.page
    for tab in ("Categories", "Resolutions", "Quality Gates", "Results"):
        await page.get_by_role("button", name=re.compile(f"^{tab}")).first.click()
    await page.get_by_text("test_a_model_has_a_price").first.click()
    for tab in ("Attachments", "History", "Environments", "Overview"):
        await page.get_by_role("button", name=re.compile(f"^{tab}")).first.click()
    await page.get_by_text("Report", exact=True).first.click()
    await page.get_by_text("Graphs").first.click()
    await page.wait_for_load_state("networkidle")

    assert watched.gone_out == []
    # Violations of the policy are complaints as well.
    assert watched.complaints == []


async def test_an_added_script_does_not_run(pages: Pages, whole: str, tmp_path: Path) -> None:
    other = tmp_path / "index.html"
    begin, _, end = whole.rpartition("</body>")
    other.write_text(f"{begin}<script>window.intruder = 1</script></body>{end}")

    watched = await opened(pages, other)

    assert await watched.page.evaluate("window.intruder === undefined")
    assert any("Content Security Policy" in each for each in watched.complaints)


async def test_it_opens_at_the_verdict_and_counts_known_failures(pages: Pages, page_file: Path) -> None:
    page = (await opened(pages, page_file)).page
    await page.wait_for_timeout(1000)

    for shown in ("REJECT on sandbox", "4 tests: 1 passed, 3 failed; 1 failure is known", "Gaia: sandbox"):
        box = await page.get_by_text(shown, exact=True).first.bounding_box()
        assert box is not None, shown
        assert 0 <= box["y"] < 400, (shown, box)
    await expect(page.get_by_role("button", name="Resolutions 1")).to_be_visible()


async def test_it_scrolls_as_soon_as_a_reader_scrolls(pages: Pages, page_file: Path) -> None:
    watched = await pages.open(page_file, viewport={"width": 900, "height": 560})
    page = watched.page
    await page.get_by_text("Powered by").wait_for()

    await page.mouse.move(450, 400)
    await page.mouse.wheel(0, 400)
    await page.wait_for_timeout(500)

    box = await page.get_by_text("Gaia: sandbox", exact=True).bounding_box()
    assert box is not None
    assert box["y"] < 0


async def test_it_fits_a_phone(pages: Pages, page_file: Path) -> None:
    watched = await pages.open(page_file, viewport={"width": 390, "height": 800}, is_mobile=True)
    await watched.page.get_by_text("Powered by").wait_for()

    assert await watched.page.evaluate("document.documentElement.scrollWidth") <= 390


async def test_without_javascript_the_verdict_is_readable(pages: Pages, page_file: Path) -> None:
    watched = await pages.open(page_file, java_script_enabled=False)

    await expect(watched.page.get_by_text("REJECT on sandbox")).to_be_visible()
    await expect(watched.page.locator("noscript p")).to_be_visible()


async def test_the_environment_is_on_the_first_page(pages: Pages, page_file: Path) -> None:
    page = (await opened(pages, page_file)).page

    await expect(page.get_by_text("Gaia: sandbox")).to_be_visible()
    await expect(page.get_by_text('Environment: "sandbox"')).to_be_visible()
    # The run's own verdict, which is not Allure's.
    await expect(page.get_by_test_id("metadata-list").get_by_text("REJECT", exact=True)).to_be_visible()
    await expect(page.get_by_text("services", exact=True)).to_be_visible()


async def test_an_expected_failure_is_known_with_expectation_issue_owner_and_expiry(
    pages: Pages, page_file: Path
) -> None:
    page = (await opened(pages, page_file, "Categories")).page
    await expect(page.get_by_text("Expected failure", exact=True)).to_be_visible()
    await expect(page.get_by_text("models-shadowed")).to_be_visible()

    await page.get_by_role("button", name=re.compile("^Results")).first.click()
    await go_to(page, "test_capabilities_are_listed")

    for said in (
        "gaia: expected failure",
        "expectation: models-shadowed: the route is shadowed",
        "issue: https://issues.example/GAIA-407",
        "owner: @models",
        f"expires: {EXPIRES.isoformat()}",
    ):
        await expect(page.get_by_text(said).first).to_be_visible()
    link = page.locator('a[href="https://issues.example/GAIA-407"]')
    await expect(link.first).to_be_visible()
    await page.get_by_role("button", name=re.compile("^Resolutions")).first.click()
    await expect(page.get_by_text("known").first).to_be_visible()


async def test_an_unexpected_pass_is_red_in_a_category_of_its_own(pages: Pages, page_file: Path) -> None:
    page = (await opened(pages, page_file, "Categories")).page
    await expect(page.get_by_text("Unexpected pass: delete the expectation")).to_be_visible()
    await expect(page.get_by_text("providers-missing")).to_be_visible()

    await page.get_by_role("button", name=re.compile("^Results")).first.click()
    await go_to(page, "test_providers_are_listed")

    await expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
    await expect(page.get_by_text("gaia: unexpected pass").first).to_be_visible()


async def test_a_failure_shows_the_exchange_that_led_to_it(pages: Pages, page_file: Path) -> None:
    watched = await opened(pages, page_file)
    page = watched.page
    await go_to(page, "test_a_model_has_a_price")

    await page.get_by_role("button", name=re.compile("^Attachments")).first.click()

    await page.get_by_text("GET /health → 200").first.click()
    for said in ("Request", "x-api-key", "Response", "200 OK"):
        await expect(page.get_by_text(said).first).to_be_visible()
    assert (watched.gone_out, watched.complaints) == ([], [])
