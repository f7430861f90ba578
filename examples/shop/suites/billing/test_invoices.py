async def test_an_order_without_an_invoice_is_not_found(billing):
    # Known failure: suites/expectations/missing-invoice.toml
    response = await billing.get("/invoices/{id}", path_params={"id": 999_999_999})
    response.expect(404)
