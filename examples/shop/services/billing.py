"""Billing: writes invoices for orders. It shares the database with orders."""

import contextlib
import os
from pathlib import Path

import asyncpg
from request_log import RequestLog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

VAT = 19
"""value added tax, in percent"""


@contextlib.asynccontextmanager
async def connected(app: Starlette):
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=5) as app.state.database:
        yield


async def document(request: Request) -> Response:
    return FileResponse(Path(__file__).with_name("billing.openapi.json"))


async def health(request: Request) -> Response:
    await request.app.state.database.fetchval("SELECT 1")
    return JSONResponse({"status": "ok"})


async def create(request: Request) -> Response:
    wanted = await request.json()
    net = wanted["net"]
    row = await request.app.state.database.fetchrow(
        "INSERT INTO invoices (order_id, net, vat) VALUES ($1, $2, $3) RETURNING order_id, net, vat, net + vat AS total",
        wanted["order_id"],
        net,
        net * VAT // 100,
    )
    return JSONResponse(dict(row), status_code=201)


async def invoice(request: Request) -> Response:
    row = await request.app.state.database.fetchrow(
        "SELECT order_id, net, vat, net + vat AS total FROM invoices WHERE order_id = $1", request.path_params["id"]
    )
    # A bug, SHOP-21: without an invoice, row is None, and the response is 500 instead of 404.
    return JSONResponse(dict(row))


app = Starlette(
    routes=[
        Route("/openapi.json", document),
        Route("/health", health),
        Route("/invoices", create, methods=["POST"]),
        Route("/invoices/{id:int}", invoice),
    ],
    middleware=[Middleware(RequestLog)],
    lifespan=connected,
)
