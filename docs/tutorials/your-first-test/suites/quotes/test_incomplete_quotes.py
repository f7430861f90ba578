async def test_a_quote_without_a_quantity_is_refused(orders):
    response = await orders.post("/v2/quotes", json={"sku": "mug"})
    response.expect(422)
