import pytest


@pytest.mark.gaia(core=True)
async def test_two_mugs_cost_twice_as_much_as_one(orders):
    one = await orders.post("/v2/quotes", json={"sku": "mug", "quantity": 1})
    two = await orders.post("/v2/quotes", json={"sku": "mug", "quantity": 2})
    assert two.expect(200).field("total") == 2 * one.expect(200).field("total")
