import pytest


@pytest.mark.gaia(core=True)
async def test_an_unknown_order_is_not_found(gateway):
    response = await gateway.get("/orders/{order}", path_params={"order": "unknown"})
    response.expect(404)
