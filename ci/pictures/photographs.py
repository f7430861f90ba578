"""Take screenshots of pages, light and dark, in the installed Chromium without a network."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from ci.pictures.missing import Missing

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

SCHEMES = ("light", "dark")
WIDTH = 1280
LARGEST = 200_000
"""maximum bytes of a picture"""
_PATIENCE = 30_000
"""milliseconds until a page must show the text"""
_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Chromium crashes in a container's small /dev/shm, and without the last option it connects to servers.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


def find_chromium() -> str:
    """Return the installed Chromium. Raise ``Missing`` without one."""
    found = next(filter(None, map(shutil.which, (os.environ.get("CHROMIUM", ""), *_NAMES))), None)
    if found is None:
        raise Missing(f"Chromium is not on PATH (tried {', '.join(_NAMES)}). Run: ci/setup browser.")
    return found


def photograph(page: Path, name: str, folder: Path, *, shows: str, height: int) -> list[Path]:
    """Open a file in light and dark mode, wait until it ``shows`` a text, and keep the top ``height`` pixels.

    Return the files, ``NAME-light.png`` and ``NAME-dark.png``. Raise ``Missing`` without Chromium, if the page does not
    show the text, or if the picture is too large.
    """
    from playwright.sync_api import Error, sync_playwright

    executable = find_chromium()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=executable, args=list(_FLAGS))
            return [_one(browser, page, folder / f"{name}-{scheme}.png", scheme, shows, height) for scheme in SCHEMES]
    except Error as error:
        raise Missing(f"{page.name} does not show {shows!r} in Chromium: {error.message.splitlines()[0]}") from None


def _one(browser: Browser, address: Path, file: Path, scheme: str, shows: str, height: int) -> Path:
    dark = scheme == "dark"
    context = browser.new_context(
        viewport={"width": WIDTH, "height": height}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    context.set_default_timeout(_PATIENCE)
    page = context.new_page()
    page.goto(address.absolute().as_uri())
    page.get_by_text(shows).first.wait_for()
    _settle(page)
    picture = page.screenshot()
    context.close()
    if len(picture) > LARGEST:
        raise Missing(f"{file.name} has {len(picture)} bytes, more than {LARGEST}; show less of the page.")
    file.write_bytes(picture)
    return file


def _settle(page: Page) -> None:
    """Wait until fonts are loaded and animations have ended."""
    page.evaluate("document.fonts.ready.then(() => Promise.all(document.getAnimations().map(each => each.finished)))")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
