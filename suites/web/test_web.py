"""The web interface: pages for people."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient

pytestmark = pytest.mark.gaia(requires=["web"], core=True)


async def test_the_start_page_is_a_page_with_a_title(web: HttpClient) -> None:
    response = (await web.anonymous().get("/")).expect(200)
    if not response.headers.get("content-type", "").startswith("text/html"):
        raise response.unexpected("is not a page: its content type is not text/html")
    assert re.search(r"<title>\s*[^<\s]", response.text, re.IGNORECASE), "the page has no title"
    assert "</html>" in response.text.lower(), "the page is truncated"
