"""Do responses conform to the OpenAPI document that the service itself publishes?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_gaia.clients.contract import Contract


@pytest.mark.parametrize(
    "service",
    [
        pytest.param("gateway", marks=pytest.mark.gaia(requires=["asset", "chat"])),
        pytest.param("kb", marks=pytest.mark.gaia(requires=["kb"])),
    ],
)
async def test_each_response_conforms_to_the_document(gaia_contract: Contract, service: str) -> None:
    # Only reads: each chat message costs money.
    await gaia_contract(service, operations=["GET *"])
