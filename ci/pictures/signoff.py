"""The sign-off page of a release that the steps of the CI template have taken to production: ``ci.walk``'s second one."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ci.pictures.missing import Missing
from ci.pictures.photographs import find_chromium, photograph
from ci.walk.__main__ import release_twice
from ci.walk.commands import Unexpected


def make(folder: Path) -> list[Path]:
    """Walk two releases to production (about 3 minutes), and photograph the page that it wrote. Raises ``Missing``."""
    find_chromium()
    with tempfile.TemporaryDirectory(prefix="gaia-pictures-", ignore_cleanup_errors=True) as name:
        try:
            release_twice(Path(name))
        except Unexpected as error:
            raise Missing(f"The walk of two releases did not end as it should: {error}") from None
        page = Path(name) / "platform" / ".gaia" / "signoff.html"
        if not page.is_file():
            raise Missing("The walk of two releases has written no sign-off page, .gaia/signoff.html.")
        return photograph(page, "signoff", folder, shows="Release sign-off", height=1000)
