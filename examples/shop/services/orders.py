"""Orders: quotes prices and takes orders. PostgreSQL stores them, and Redis caches products."""

import contextlib
import hmac
import json
import os
from pathlib import Path

import asyncpg
import redis.asyncio
from request_log import RequestLog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

TOKEN = os.environ.get("ORDERS_TOKEN", "")
"""bearer token that clients send; none on a developer's machine"""


@contextlib.asynccontextmanager
async def connected(app: Starlette):
    async with (
        asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=5) as app.state.database,
        redis.asyncio.from_url(os.environ["REDIS_URL"]) as app.state.cache,
    ):
        yield


async def document(request: Request) -> Response:
    return FileResponse(Path(__file__).with_name("orders.openapi.json"))


async def ready(request: Request) -> Response:
    await request.app.state.database.fetchval("SELECT 1")
    await request.app.state.cache.ping()
    return JSONResponse({"status": "ready"})


async def products(request: Request) -> Response:
    rows = await request.app.state.database.fetch("SELECT sku, name, price FROM products ORDER BY sku")
    return JSONResponse([dict(row) for row in rows])


async def product(request: Request) -> Response:
    return JSONResponse(await find_product(request, request.path_params["sku"]))


async def quote(request: Request) -> Response:
    return JSONResponse(await priced(request))


async def take(request: Request) -> Response:
    authorize(request)
    wanted = await priced(request)
    number = await request.app.state.database.fetchval(
        "INSERT INTO orders (sku, quantity, total) VALUES ($1, $2, $3) RETURNING id", *list(wanted.values())[:3]
    )
    return JSONResponse({"id": number, "status": "open", **wanted}, status_code=201)


async def order(request: Request) -> Response:
    authorize(request)
    row = await request.app.state.database.fetchrow("SELECT * FROM orders WHERE id = $1", request.path_params["id"])
    if row is None:
        raise HTTPException(404, "no such order")
    return JSONResponse(dict(row))


async def confirm(request: Request) -> Response:
    """The link in the e-mail to the customer: a GET that changes something."""
    await request.app.state.database.execute(
        "UPDATE orders SET status = 'confirmed' WHERE id = $1", request.path_params["id"]
    )
    return JSONResponse({"status": "confirmed"})


async def cancel(request: Request) -> Response:
    authorize(request)
    await request.app.state.database.execute("DELETE FROM orders WHERE id = $1", request.path_params["id"])
    return Response(status_code=204)


def authorize(request: Request) -> None:
    if TOKEN and not hmac.compare_digest(request.headers.get("authorization", ""), f"Bearer {TOKEN}"):
        raise HTTPException(401, "a token is required")


async def priced(request: Request) -> dict:
    wanted = await request.json()
    found = await find_product(request, wanted["sku"])
    return {"sku": found["sku"], "quantity": wanted["quantity"], "total": found["price"] * wanted["quantity"]}


async def find_product(request: Request, sku: str) -> dict:
    if kept := await request.app.state.cache.get(f"product:{sku}"):
        return json.loads(kept)
    row = await request.app.state.database.fetchrow("SELECT sku, name, price FROM products WHERE sku = $1", sku)
    if row is None:
        raise HTTPException(404, "no such product")
    await request.app.state.cache.set(f"product:{sku}", json.dumps(dict(row)), ex=60)
    return dict(row)


app = Starlette(
    routes=[
        Route("/openapi.json", document),
        Route("/ready", ready),
        Route("/v2/products", products),
        Route("/v2/products/{sku}", product),
        Route("/v2/quotes", quote, methods=["POST"]),
        Route("/v2/orders", take, methods=["POST"]),
        Route("/v2/orders/{id:int}", order),
        Route("/v2/orders/{id:int}", cancel, methods=["DELETE"]),
        Route("/v2/orders/{id:int}/confirm", confirm),
    ],
    middleware=[Middleware(RequestLog)],
    lifespan=connected,
)
