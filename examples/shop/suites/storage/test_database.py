async def test_every_order_has_the_price_of_its_product(orders_db):
    wrong = await orders_db.fetch(
        "SELECT orders.id FROM orders JOIN products USING (sku) WHERE orders.total != quantity * price"
    )
    assert wrong == []


async def test_an_order_needs_a_known_product(orders_db):
    foreign_keys = await orders_db.fetch(
        "SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = 'orders'::regclass"
    )
    assert len(foreign_keys) == 1
