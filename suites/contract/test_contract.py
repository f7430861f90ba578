"""Do responses conform to the OpenAPI document that the service itself publishes?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_gaia.clients.contract import Contract


async def test_each_response_of_the_gateway_conforms_to_its_document(gaia_contract: Contract) -> None:
    # Only reads: each chat message costs money.
    await gaia_contract("gateway", operations=["GET *"])
