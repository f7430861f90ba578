"""Fixtures of tests that open pages in Chromium.

They are asynchronous: Playwright's other interface keeps an event loop running between tests, in which no asynchronous
test of the same process could run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import async_playwright, expect

from tests.browser.pages import PATIENCE, Pages
from tests.browser.tools import find_chromium, find_package

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser

# Without them, Chromium itself talks to its maker's servers, and a container's small /dev/shm ends it. The last one
# keeps in what no route sees, such as sockets.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The installed Chromium, headless, one per process."""
    executable = find_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest.fixture
async def pages(chromium: Browser) -> AsyncIterator[Pages]:
    """Opens pages and records their requests; see :class:`~tests.browser.pages.Pages`."""
    opened = Pages(chromium)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def axe() -> Path:
    """The script of axe, which checks the accessibility of a page."""
    return find_package("axe-core/axe.min.js")
