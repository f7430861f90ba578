async def test_an_order_has_an_item(orders):
    response = await orders.get("/orders/{id}", path_params={"id": "1"})
    assert response.expect(200).field("item") == "tea"


async def test_an_unknown_order_is_not_found(orders):
    response = await orders.get("/orders/{id}", path_params={"id": "unknown"})
    response.expect(404)
