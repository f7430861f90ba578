"""Rate limits, which prevent one client from blocking all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.conftest import ROOT_LIMIT

if TYPE_CHECKING:
    from pytest_gaia.clients.http.responses import Response


@pytest.mark.gaia(core=True)
@pytest.mark.usefixtures("gaia_sandbox")
def test_the_root_is_limited_for_each_client(root_responses: list[Response]) -> None:
    # Elsewhere, the limit would block the address of this machine.
    statuses = [response.status for response in root_responses]
    served = statuses.index(429) if 429 in statuses else len(statuses)
    assert 0 < served <= ROOT_LIMIT
    assert statuses == [200] * served + [429] * (len(statuses) - served)
    assert root_responses[0].text != root_responses[-1].text
