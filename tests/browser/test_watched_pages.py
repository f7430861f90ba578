"""Requests of a page to other machines are recorded and blocked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.pages import Pages

pytestmark = pytest.mark.slow("browser")

TALKATIVE = """<!doctype html><title>talkative</title>
<img src="https://images.example/pixel.png">
<script>
  fetch("https://fetched.example/").catch(() => 0);
  navigator.sendBeacon("https://beacon.example/", "1");
  new WebSocket("wss://socket.example/");
  console.error("a complaint");
</script>
<p>done</p>
"""


async def test_requests_to_other_machines_are_recorded_and_blocked(pages: Pages, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(TALKATIVE)

    watched = await pages.open(path)
    await watched.page.get_by_text("done").wait_for()
    await watched.page.wait_for_load_state("networkidle")

    hosts = {url.split("/")[2].partition(".")[0] for url in watched.gone_out}
    assert hosts == {"images", "fetched", "beacon", "socket"}
    assert "a complaint" in watched.complaints


async def test_a_page_without_requests_has_no_records(pages: Pages, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("<!doctype html><title>quiet</title><p>done</p>")

    watched = await pages.open(path)

    assert watched.requests == [path.as_uri()]
    assert (watched.gone_out, watched.complaints) == ([], [])


async def test_the_accessibility_script_runs_in_a_page(pages: Pages, axe: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text('<!doctype html><html><title>x</title><img src="data:,"></html>')

    watched = await pages.open(path)
    await watched.page.add_script_tag(path=axe)
    violations = await watched.page.evaluate("axe.run().then(result => result.violations.map(v => v.id))")

    assert {"html-has-lang", "image-alt"} <= set(violations)
