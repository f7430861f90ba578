"""Replace values that differ from run to run, such as ports, with constant ones."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from ci.pictures.commands import ROOT

_PORT = re.compile(r"(?<=127\.0\.0\.1:)\d{4,5}")
_MASK = re.compile(r"(?<=\*{3})[0-9a-f]{8}(?=\*{3})")
_CLOCK = re.compile(r"\b\d\d:\d\d:\d\d(?= GMT)")


class Steady:
    """Replaces ports, masks of secrets, times of day and folders; equal values stay equal."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, str]] = {"port": {}, "mask": {}}

    def __call__(self, text: str) -> str:
        """Return the text to show."""
        for folder, shown in ((ROOT, "~/pytest-gaia"), (Path.home(), "~"), (Path(tempfile.gettempdir()), "/tmp")):  # noqa: S108
            text = text.replace(f"{folder}", shown) if folder != Path(folder.root) else text
        text = _PORT.sub(lambda found: self._instead("port", found.group(), "{:05d}", 50000), text)
        text = _MASK.sub(lambda found: self._instead("mask", found.group(), "{:08x}", 0), text)
        return _CLOCK.sub("12:00:00", text)

    def _instead(self, kind: str, found: str, form: str, first: int) -> str:
        seen = self._seen[kind]
        return seen.setdefault(found, form.format(first + len(seen) + 1))
