import os


async def test_items(shop):
    (await shop.get("/items")).expect(200)


async def test_orders(shop):
    (await shop.get("/orders")).expect(404 if "SHOP_IS_BROKEN" in os.environ else 200)
