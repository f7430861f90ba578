"""The release report in a browser: light and dark, desktop and phone, printed, and for screen readers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.report.signoff.documents import html
from tests.report.signoff_pages import bare_page, full_page
from tests.report.test_signoff import poisoned

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser

    from tests.browser.pages import Pages, Watched

pytestmark = pytest.mark.slow("browser")

PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}
LONG = "suites/chat/test_chat.py::test_" + "w" * 300
PAGES = {
    "full": full_page(),
    "bare": bare_page(),
    "go": full_page(decision="GO"),
    "waivers": full_page(decision="GO WITH WAIVERS"),
}


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    """The page with content in every section."""
    return written(tmp_path, full_page())


def written(folder: Path, page: Any) -> Path:
    """Write ``page`` into a file."""
    path = folder / "page.html"
    path.write_text(html(page), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def axe_text(axe: Path) -> str:
    """The text of axe, to be evaluated: the policy of the page allows no added script."""
    return axe.read_text(encoding="utf-8")


async def violations(watched: Watched, axe_text: str) -> list[Any]:
    """Return the accessibility violations."""
    await watched.page.evaluate(axe_text)
    found: list[Any] = await watched.page.evaluate(
        "axe.run().then(result => result.violations.map(each => [each.id, each.nodes.map(node => node.html)]))"
    )
    return found


@pytest.mark.parametrize(
    ("name", "size", "scheme"),
    [
        *(("full", size, scheme) for size in (DESK, PHONE) for scheme in ("light", "dark")),
        ("bare", PHONE, "dark"),
        ("go", DESK, "light"),
        ("waivers", DESK, "dark"),
    ],
)
async def test_it_is_accessible(
    pages: Pages, axe_text: str, tmp_path: Path, name: str, size: dict[str, int], scheme: str
) -> None:
    watched = await pages.open(written(tmp_path, PAGES[name]), viewport=size, color_scheme=scheme)

    assert await violations(watched, axe_text) == []
    assert watched.complaints == [], "its own policy allows its own style"


async def test_it_makes_no_requests(pages: Pages, page_file: Path) -> None:
    watched = await pages.open(page_file)

    assert watched.requests == [page_file.as_uri()]
    assert watched.complaints == []


@pytest.mark.parametrize("width", [320, 360, 650, 700, 1024, 1280])
async def test_nothing_is_wider_than_the_window(pages: Pages, tmp_path: Path, width: int) -> None:
    page = poisoned(full_page(reasons=(LONG,), gaps=(LONG,)))
    watched = await pages.open(written(tmp_path, page), viewport={"width": width, "height": 740})

    assert await watched.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_decision_and_its_reasons_are_in_the_first_window(pages: Pages, page_file: Path, scheme: str) -> None:
    watched = await pages.open(page_file, viewport=DESK, color_scheme=scheme)
    page = watched.page

    assert await page.title() == "NO GO: release c1f04185784b to production"
    seen = [page.get_by_role("heading", level=1), page.get_by_text("not approved by security").first]
    for each in seen:
        box = await each.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < DESK["height"]
    headings = await page.get_by_role("heading", level=2).all_inner_texts()
    assert headings[:2] == ["What blocks it?", "What is known to fail, who accepted it, and until when?"]


async def test_tables_stay_tables_in_the_layout_for_phones(pages: Pages, page_file: Path) -> None:
    watched = await pages.open(page_file, viewport=PHONE)
    row = watched.page.get_by_role("row", name=re.compile("^staging.*186"))

    assert await row.first.get_by_role("cell").count() >= 11
    labels = await watched.page.evaluate(
        "[...document.querySelectorAll('td')].filter(cell => !cell.dataset.label).length"
    )
    assert labels == 0, "each cell has a label, because the head is hidden"


async def test_scripts_in_names_do_not_run(pages: Pages, tmp_path: Path) -> None:
    watched = await pages.open(written(tmp_path, poisoned(full_page())))

    assert watched.requests == [(tmp_path / "page.html").as_uri()]
    assert watched.complaints == []
    assert await watched.page.get_by_text("<script>alert(1)</script>").count() > 10


async def test_the_policy_refuses_an_added_script(pages: Pages, tmp_path: Path) -> None:
    path = written(tmp_path, full_page())
    path.write_text(path.read_text().replace("</body>", "<script>document.title = 'mine'</script></body>"))

    watched = await pages.open(path)

    assert await watched.page.title() == "NO GO: release c1f04185784b to production"
    assert any("Content Security Policy" in each for each in watched.complaints)


async def test_the_skip_link_leads_to_the_content(pages: Pages, page_file: Path) -> None:
    watched = await pages.open(page_file)

    await watched.page.keyboard.press("Tab")
    assert await watched.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    await watched.page.keyboard.press("Enter")
    await watched.page.wait_for_url("**#content")


async def test_it_prints_completely_in_light_colors_with_its_addresses(chromium: Browser, page_file: Path) -> None:
    context = await chromium.new_context(color_scheme="dark")
    page = await context.new_page()
    await page.goto(page_file.as_uri())
    paper = await page.pdf(prefer_css_page_size=True)
    await page.emulate_media(media="print", color_scheme="dark")
    color = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    shown = await page.evaluate(
        "getComputedStyle(document.querySelector('main > section a[href^=http]'), '::after').content"
    )
    hidden = await page.evaluate(
        "[...document.querySelectorAll('main *')].filter(each => each.checkVisibility && !each.checkVisibility() && each.textContent.trim() && !each.closest('svg') && !each.closest('.screen')).length"
    )
    await context.close()

    count = len(re.findall(rb"/Type\s*/Page\b", paper))
    assert paper.startswith(b"%PDF")
    assert 3 <= count <= 8, count
    sizes = {tuple(float(each) for each in found.split()[2:]) for found in re.findall(rb"/MediaBox \[([^]]+)\]", paper)}
    assert all(abs(width - 595) < 2 and abs(height - 842) < 2 for width, height in sizes), "A4"
    assert color == "rgb(255, 255, 255)"
    assert shown != "none"
    assert hidden == 0, "everything on the screen is also on paper"
