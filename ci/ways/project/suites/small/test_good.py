async def test_good(shop):
    (await shop.get("/items")).expect(200)
