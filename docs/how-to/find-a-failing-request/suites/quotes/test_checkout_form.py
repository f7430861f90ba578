import pytest


@pytest.mark.gaia(writes=True)
async def test_a_checkout_without_a_quantity_is_refused(web):
    (await web.post("/checkout", json={"sku": "mug"})).expect(422)
