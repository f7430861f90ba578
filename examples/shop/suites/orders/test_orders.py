import pytest


@pytest.mark.gaia(core=True)
async def test_a_quote_multiplies_price_and_quantity(orders):
    # gaia.toml lists this POST in `safe`, so it needs no permission to write.
    product = (await orders.get("/v2/products/{sku}", path_params={"sku": "tea"})).expect(200).json()
    quote = (await orders.post("/v2/quotes", json={"sku": "tea", "quantity": 3})).expect(200)
    assert quote.field("total") == 3 * product["price"]


async def test_an_unknown_product_is_not_found(orders):
    response = await orders.get("/v2/products/{sku}", path_params={"sku": "no-such-product"})
    response.expect(404)


@pytest.mark.gaia(writes=True)
async def test_a_new_order_can_be_read(orders, order):
    response = await orders.get("/v2/orders/{id}", path_params={"id": order["id"]})
    assert response.expect(200).json() == order


@pytest.mark.gaia(writes=True)
async def test_the_link_in_the_mail_confirms_an_order(orders, order):
    path = {"id": order["id"]}
    (await orders.get("/v2/orders/{id}/confirm", path_params=path)).expect(200)
    response = await orders.get("/v2/orders/{id}", path_params=path)
    assert response.expect(200).field("status") == "confirmed"
