"""The web shop: pages for customers, and the checkout, which uses orders and billing."""

import html
import os

import httpx
from request_log import RequestLog, pass_on
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

ORDERS, BILLING = os.environ["ORDERS_URL"], os.environ["BILLING_URL"]
TOKEN = os.environ.get("ORDERS_TOKEN")
client = httpx.AsyncClient(
    timeout=10,
    headers={"Authorization": f"Bearer {TOKEN}"} if TOKEN else {},
    event_hooks={"request": [pass_on]},
)


async def healthz(_: Request) -> Response:
    return PlainTextResponse("ok")


async def home(_: Request) -> Response:
    products = (await client.get(f"{ORDERS}/v2/products")).raise_for_status().json()
    rows = "".join(f"<li>{html.escape(each['name'])}: {each['price'] / 100:.2f} €</li>" for each in products)
    return HTMLResponse(f"<!doctype html><title>Shop</title><h1>Shop</h1><ul>{rows}</ul>")


async def checkout(request: Request) -> Response:
    order = await client.post(f"{ORDERS}/v2/orders", json=await request.json())
    if order.status_code == 404:
        return JSONResponse({"error": "no such product"}, status_code=404)
    taken = order.raise_for_status().json()
    invoice = await client.post(f"{BILLING}/invoices", json={"order_id": taken["id"], "net": taken["total"]})
    return JSONResponse({"order": taken, "invoice": invoice.raise_for_status().json()}, status_code=201)


app = Starlette(
    routes=[
        Route("/", home),
        Route("/healthz", healthz),
        Route("/checkout", checkout, methods=["POST"]),
    ],
    middleware=[Middleware(RequestLog)],
)
