"""Make the picture of a release report: the second release that ``ci.walk`` promotes to production."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ci.pictures.missing import Missing
from ci.pictures.photographs import find_chromium, photograph
from ci.walk.__main__ import release_twice
from ci.walk.commands import Unexpected


def make(folder: Path) -> list[Path]:
    """Promote two releases to production (about 3 minutes), and take a screenshot of the report. Raise ``Missing`` if that fails."""
    find_chromium()
    with tempfile.TemporaryDirectory(prefix="gaia-pictures-", ignore_cleanup_errors=True) as name:
        try:
            release_twice(Path(name))
        except Unexpected as error:
            raise Missing(f"The demo of two releases failed: {error}") from None
        page = Path(name) / "platform" / ".gaia" / "release.html"
        if not page.is_file():
            raise Missing("The walk of two releases has written no release report, .gaia/release.html.")
        return photograph(page, "signoff", folder, shows="Release report", height=1000)
