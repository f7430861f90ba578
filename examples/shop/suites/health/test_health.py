import pytest

pytestmark = pytest.mark.gaia(core=True)


async def test_the_web_shop_is_up(web):
    response = await web.get("/healthz")
    assert response.expect(200).text == "ok"


async def test_orders_reaches_its_database_and_its_cache(orders):
    response = await orders.get("/ready")
    assert response.expect(200).field("status") == "ready"


async def test_billing_is_healthy(services):
    response = await services["billing"].get("/health")
    assert response.expect(200).field("status") == "ok"
