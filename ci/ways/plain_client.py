"""The fixture ``shop`` for tools that have none: the few methods that the tests of the projects use, with httpx."""

import os

import httpx
import pytest


class Response:
    def __init__(self, response):
        self.status, self.body, self.json = response.status_code, response.content, response.json

    def expect(self, *statuses):
        assert self.status in statuses or (not statuses and 200 <= self.status < 300), self.status
        return self

    def field(self, path):
        value = self.json()
        for name in path.split("."):
            value = value[name]
        return value


class Shop:
    def __init__(self, client):
        self._client = client
        self.base_url = str(client.base_url)

    async def request(self, method, path, **options):
        return Response(await self._client.request(method, path, **options))

    async def get(self, path, **options):
        return await self.request("GET", path, **options)

    async def post(self, path, **options):
        return await self.request("POST", path, **options)


@pytest.fixture
async def shop():
    async with httpx.AsyncClient(base_url=os.environ["SHOP_URL"]) as client:
        yield Shop(client)
