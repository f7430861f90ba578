async def test_the_gateway_is_healthy(gateway):
    response = await gateway.get("/health")
    response.expect(200)
