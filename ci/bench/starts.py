"""Measure the start of a sandbox, and the creation of another stack."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pytest_gaia.config.layers import shipped_file
from pytest_gaia.run.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Start:
    """One sandbox: seconds until it was ready, for another stack, and until it was cleaned up."""

    ready: float
    stack: float
    stop: float


def started() -> Start:
    """Start a sandbox, create five more stacks, and stop it."""
    began = time.perf_counter()
    sandbox = Sandbox.start(shipped_file("gaia").platform)
    try:
        sandbox.ready()
        ready = time.perf_counter() - began
        stacks = [_start(sandbox, f"gw{number}") for number in range(5)]
    finally:
        ending = time.perf_counter()
        sandbox.stop()
    return Start(ready, median(stacks), time.perf_counter() - ending)


def rounds(count: int) -> tuple[list[Start], list[Start]]:
    """Return starts with an empty cache and starts from the cache, ``count`` of each, in turn."""
    first, cached = [], []
    for _ in range(count):
        with tempfile.TemporaryDirectory() as cache:
            os.environ["GAIA_CACHE_DIR"] = str(Path(cache, "cache"))
            first.append(started())
            cached.append(started())
    return first, cached


def _start(sandbox: Sandbox, name: str) -> float:
    began = time.perf_counter()
    sandbox.stack(name)
    return time.perf_counter() - began
