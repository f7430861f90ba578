"""``--junitxml``: pytest has written its file by the time a run is judged; here it is settled by what that came to."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from _pytest.junitxml import bin_xml_escape, mangle_test_address, xml_key

from pytest_gaia.outputs import write_file

if TYPE_CHECKING:
    import pytest

    from pytest_gaia.report.junit import Address
    from pytest_gaia.verdict.judged import Judged


def settle_junit(config: pytest.Config, judged: Judged) -> str:
    """Settle the file, where there is one; return why not, where it cannot be written."""
    junit = config.stash.get(xml_key, None)
    if junit is None:
        return ""
    path = Path(junit.logfile)
    if not path.is_file():
        # A device, or nothing: an error inside of pytest has kept it from writing.
        return ""
    # Most runs write no such file, and should not pay for what it takes.
    from pytest_gaia.report.junit import settle

    try:
        # Written by this process.
        document = ET.parse(path)  # noqa: S314
        addresses = {each.node: _address(each.node, junit.prefix) for each in judged.judgements}
        settle(document.getroot(), judged, addresses, strict=junit.family == "xunit2")
        text = ET.tostring(document.getroot(), encoding="unicode")
        # Where pytest has written it, and with the mode that pytest gave it: those who read it run as somebody else.
        place = path.resolve()
        write_file(place, f'<?xml version="1.0" encoding="utf-8"?>{text}', mode=stat.S_IMODE(place.stat().st_mode))
    except (OSError, ET.ParseError) as error:
        return f"--junitxml={path}: cannot be written: {error}."
    return ""


def _address(node: str, prefix: str | None) -> Address:
    """Return the address that pytest gives a test in its file."""
    *classes, name = mangle_test_address(node)
    return ".".join([prefix, *classes] if prefix else classes), bin_xml_escape(name)
