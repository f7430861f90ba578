import pytest


@pytest.mark.gaia(core=True)
async def test_the_page_shows_every_product_of_orders(web, orders):
    page = (await web.get("/")).expect(200).text
    products = (await orders.get("/v2/products")).expect(200).json()
    assert [each["name"] for each in products if each["name"] not in page] == []


@pytest.mark.gaia(writes=True)
async def test_a_checkout_takes_an_order_and_writes_its_invoice(web, orders, billing):
    bought = (await web.post("/checkout", json={"sku": "mug", "quantity": 1})).expect(201).json()
    order = {"id": bought["order"]["id"]}
    try:
        invoice = (await billing.get("/invoices/{id}", path_params=order)).expect(200).json()
        assert invoice == bought["invoice"]
        assert invoice["total"] == invoice["net"] + invoice["vat"]
        assert invoice["net"] == bought["order"]["total"]
    finally:
        (await orders.delete("/v2/orders/{id}", path_params=order)).expect(204)
