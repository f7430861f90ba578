async def test_a_new_order_can_be_read(orders):
    order = (await orders.post("/orders", json={"item": "mug"})).expect(201).json()
    response = await orders.get("/orders/{id}", path_params={"id": order["id"]})
    assert response.expect(200).json() == order
