"""A line in the log for each request, with the IDs by which it can be found. Other services get the same IDs."""

import contextvars
import logging
import time

from starlette.datastructures import Headers

HEADERS = ("x-request-id", "traceparent")

logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
log = logging.getLogger("shop")
log.setLevel(logging.INFO)

received = contextvars.ContextVar("received")
"""these headers of the current request"""


class RequestLog:
    """ASGI middleware that logs each request, and an error with its traceback."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            await self.serve(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def serve(self, scope, receive, send):
        headers, started, status = Headers(scope=scope), time.perf_counter(), 500
        received.set({name: headers[name] for name in HEADERS if name in headers})

        async def sent(message):
            nonlocal status
            status = message.get("status", status)
            await send(message)

        def line():
            ids = " ".join(f"{name}={value}" for name, value in received.get().items())
            milliseconds = (time.perf_counter() - started) * 1000
            return f"{scope['method']} {scope['path']} {status} {milliseconds:.0f} ms {ids}"

        try:
            await self.app(scope, receive, sent)
        except Exception:
            log.exception(line())
            raise
        log.info(line())


async def pass_on(request):
    """Send the IDs to another service, as an event hook of httpx."""
    request.headers.update(received.get({}))
