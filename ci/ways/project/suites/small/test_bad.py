async def test_bad(shop):
    (await shop.get("/missing")).expect(200)
