"""Chat of version 0.3. No message is sent: a response needs a key of a provider, which an environment may lack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.shapes import TEXT, shaped

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient


# A message is part of a conversation, so the platform does not call this request read-only.
@pytest.mark.gaia(writes=True)
async def test_version_0_3_requires_a_message(gateway: HttpClient) -> None:
    shaped((await gateway.post("/api/v0.3/chat", json={})).expect(400), {"error": TEXT})
