"""A small service to follow the page with."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route

ORDERS = {"1": {"id": "1", "item": "tea"}}


async def health(_):
    return JSONResponse({"status": "ok"})


async def order(request):
    if found := ORDERS.get(request.path_params["id"]):
        return JSONResponse(found)
    raise HTTPException(404)


async def new_order(request):
    number = str(len(ORDERS) + 1)
    ORDERS[number] = {"id": number, **await request.json()}
    return JSONResponse(ORDERS[number], status_code=201)


app = Starlette(
    routes=[
        Route("/health", health),
        Route("/orders", new_order, methods=["POST"]),
        Route("/orders/{id}", order),
    ]
)
