import pytest


@pytest.mark.gaia(requires=["chat"])
async def test_prices_of_an_unknown_provider_are_not_found(gateway):
    response = await gateway.get("/api/v0.2/assets/pricing/current", params={"provider": "acme"})
    response.expect(404)
