import pytest


@pytest.mark.parametrize("service", ["orders", "billing"])
async def test_each_response_conforms_to_the_document(gaia_contract, service):
    # Needs the extra `contract`. Sends only requests that change nothing.
    await gaia_contract(service)
