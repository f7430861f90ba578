"""The first printed page of a release report has what a release manager needs to decide."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.report.signoff.documents import html
from tests import left_out
from tests.report.signoff_pages import bare_page, full_page, large_page, small_page

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser

pytestmark = pytest.mark.slow("browser")

PAGES = {"small": small_page(), "full": full_page(), "large": large_page(), "bare": bare_page()}

QUESTIONS = (
    "What is known to fail, who accepted it, and until when?",
    "What was not tested?",
    "What changed since the running release?",
    "What runs where?",
    "How do we go back?",
    "Signatures",
)


@pytest.fixture(scope="module")
def pdftotext() -> str:
    """The program that extracts the text of a PDF."""
    found = shutil.which("pdftotext")
    if found is None:
        left_out.PAGES.leave_out("pdftotext is not installed")
    return found


def text_of(pdftotext: str, paper: Path) -> str:
    """Return the text of the first page of a PDF, with single spaces."""
    done = subprocess.run([pdftotext, "-l", "1", str(paper), "-"], capture_output=True, text=True, check=True)
    return " ".join(done.stdout.split())


async def first_sheet(chromium: Browser, pdftotext: str, folder: Path, page: Any) -> str:
    """Print ``page`` and return the text of its first sheet."""
    source, paper = folder / "page.html", folder / "page.pdf"
    source.write_text(html(page), encoding="utf-8")
    context = await chromium.new_context()
    opened = await context.new_page()
    await opened.goto(source.as_uri())
    await opened.pdf(path=paper, prefer_css_page_size=True)
    await context.close()
    return text_of(pdftotext, paper)


@pytest.mark.parametrize("name", PAGES)
async def test_every_question_and_the_place_to_sign_are_on_the_first_sheet(
    chromium: Browser, pdftotext: str, tmp_path: Path, name: str
) -> None:
    page = PAGES[name]

    text = await first_sheet(chromium, pdftotext, tmp_path, page)

    assert text.index(page.decision) < text.index(page.release)
    assert ("What blocks it?" if page.decision == "NO GO" else "May it go out? Yes.") in text
    assert [question for question in QUESTIONS if question not in text] == []
    assert "Newest ledger entry: 18632e7893be" in text, "the last line fits"
    assert "Details" not in text.replace("DETAILS", "Details"), "the rest begins on the second sheet"


async def test_a_small_release_fits_completely(chromium: Browser, pdftotext: str, tmp_path: Path) -> None:
    text = await first_sheet(chromium, pdftotext, tmp_path, small_page())

    for text_part in (
        "GO release c1f04185784b",
        "Yes. All 15 checks of the production gate passed, and none was waived.",
        "No known failures and no waivers.",
        "12 of 12 tests ran in at least one environment (100 %).",
        "this release, since 2026-11-23 21:04 UTC",
        "gateway 2c2c2c2c2c2c",
        "To release 126cf3f61ef2, last known good in production",
        "auth 111111111111, gateway 121212121212",
        "gaia rollback production --confirm production",
        "passed in staging on 2026-11-21 10:00 UTC",
        "2 commits, 4 differences",
        "release-manager",
        "rita, 2026-11-23 10:00 UTC",
    ):
        assert text_part in text, text_part


async def test_a_large_release_fits_and_the_rest_is_counted(chromium: Browser, pdftotext: str, tmp_path: Path) -> None:
    page = large_page()

    text = await first_sheet(chromium, pdftotext, tmp_path, page)

    for text_part in (
        "NO GO release c1f04185784b",
        "Security review complete",
        "not approved by security",
        "test_personas.py::test_a_deleted",
        f"{len(page.blocking) - 5} more blockers",
        "staging has no chat service",
        "@persona-team",
        "2026-12-01, 8 days left",
        "no one (tolerance)",
        f"{len(page.known) - 5} more known failures",
        "6 more waivers",
        "186 of 193 tests ran in at least one environment (96 %).",
        "suite-59-",
        "more suites",
        "4 earlier environments",
        "and 25 more",
        "To release 126cf3f61ef2",
        "gaia rollback production --confirm production",
        "400 commits",
        "4 more roles",
    ):
        assert text_part in text, text_part
