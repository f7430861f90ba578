"""Limits that keep one client from taking the platform away from all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.errors import NotApplicable
from suites.conftest import ROOT_LIMIT

if TYPE_CHECKING:
    from pytest_gaia.clients.http.answers import Answer


@pytest.mark.gaia(core=True)
def test_the_root_is_limited_for_each_client(root_answers: list[Answer]) -> None:
    if len(root_answers) <= ROOT_LIMIT:
        raise NotApplicable("the rate limit is tried in the sandbox only: elsewhere it would shut out this address")
    statuses = [answer.status for answer in root_answers]
    served = statuses.index(429) if 429 in statuses else len(statuses)
    assert 0 < served <= ROOT_LIMIT
    assert statuses == [200] * served + [429] * (len(statuses) - served)
    assert root_answers[0].text != root_answers[-1].text
