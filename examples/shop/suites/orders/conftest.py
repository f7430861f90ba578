import pytest_asyncio


@pytest_asyncio.fixture(loop_scope="session")
async def order(orders):
    """A new order of two bags of tea, which is deleted at the end."""
    taken = (await orders.post("/v2/orders", json={"sku": "tea", "quantity": 2})).expect(201).json()
    yield taken
    (await orders.delete("/v2/orders/{id}", path_params={"id": taken["id"]})).expect(204)
