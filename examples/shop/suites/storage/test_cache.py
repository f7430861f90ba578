import json


async def test_a_product_is_cached_for_a_minute(orders, redis):
    product = (await orders.get("/v2/products/{sku}", path_params={"sku": "mug"})).expect(200).json()
    assert json.loads(await redis.command("GET", "product:mug")) == product
    assert 0 < await redis.command("TTL", "product:mug") <= 60
