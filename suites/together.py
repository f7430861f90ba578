"""Send independent requests at the same time, so that a test waits for about one round trip, not for one each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

__tracebackhide__ = True

AT_ONCE = 16
"""limit of requests of one test at a time"""


async def together(*requests: Coroutine[object, object, T]) -> list[T]:
    """Run all ``requests``, at most ``AT_ONCE`` at a time, and return their results in this order.

    A request that fails does not stop the others: the first error in this order is raised when all have ended. The
    failure of the test then lists every exchange, and so every other error.
    """
    turns = asyncio.Semaphore(AT_ONCE)

    async def run(request: Coroutine[object, object, T]) -> T:
        async with turns:
            return await request

    tasks = [asyncio.ensure_future(run(request)) for request in requests]
    await asyncio.gather(*tasks, return_exceptions=True)
    return [task.result() for task in tasks]
