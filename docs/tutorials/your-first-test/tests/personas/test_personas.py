import pytest


@pytest.mark.gaia(requires=["chat"])
async def test_the_first_persona_is_listed(gateway):
    response = await gateway.get("/api/v0.2/personas")
    assert "Mu" in [persona["name"] for persona in response.expect(200).field("personas")]
