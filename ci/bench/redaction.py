"""Measure the cost of masking, for difficult texts and with many registered tokens. Ratios within a run show non-linear growth."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pytest_gaia.secrets.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 1_000_000
FEW, MANY = 500, 2_000
_ROUNDS = 3
_KNOWN = [secrets.token_urlsafe(24) for _ in range(25)]
_BODY = json.dumps(
    [
        {"id": number, "name": f"persona {number}", "about": "a friendly helper", "total_tokens": number}
        for number in range(SIZE // 90)
    ]
)
_HOSTILE = {
    "an ordinary body": _BODY,
    "backslashes in a string": '{"token":"' + "\\" * SIZE,
    "tokens in tokens": "-eyJ" * (SIZE // 4),
    "strings without an end": '"token": "' * (SIZE // 10),
    "URLs in URLs": "http://a:" * (SIZE // 9),
    "URLs in quotes": '"http://a ' * (SIZE // 10),
    "dots": "a...b" * (SIZE // 5),
}


@dataclass(frozen=True)
class Hostile:
    """A text of a million characters, and half of it."""

    name: str
    seconds: float
    half: float


def hostile() -> list[Hostile]:
    """Return the CPU time of masking each text, the best of some rounds."""
    redactor = Redactor(_KNOWN)
    return [
        Hostile(name, _best(partial(redactor.text, text)), _best(partial(redactor.text, text[: len(text) // 2])))
        for name, text in _HOSTILE.items()
    ]


def learning(count: int) -> float:
    """Return the CPU time to register ``count`` tokens, each from a response, and to mask each once."""

    def run() -> None:
        redactor = Redactor(_KNOWN)
        for token in [secrets.token_urlsafe(24) for _ in range(count)]:
            redactor.exchanged(json.dumps({"access_token": token}))
            redactor.text(f"the response contained {token}")

    return _best(run)


def _best(run: Callable[[], object]) -> float:
    times = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return min(times)
