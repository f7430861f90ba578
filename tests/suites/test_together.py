from __future__ import annotations

import asyncio

import pytest

from suites.together import AT_ONCE, together


async def test_results_are_in_the_order_of_the_requests_and_few_run_at_a_time() -> None:
    running, most = 0, 0

    async def request(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        # The later ones end first.
        for _ in range(100 - number):
            await asyncio.sleep(0)
        running -= 1
        return number

    assert await together(*map(request, range(50))) == list(range(50))
    assert most == AT_ONCE


async def test_the_first_error_is_raised_when_all_have_ended() -> None:
    ended = []

    async def request(number: int) -> None:
        await asyncio.sleep(0)
        ended.append(number)
        if number in (2, 5):
            raise LookupError(number)

    with pytest.raises(LookupError, match="2"):
        await together(*map(request, range(20)))
    assert ended == list(range(20))
