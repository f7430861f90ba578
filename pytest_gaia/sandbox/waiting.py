"""Waiting for child processes without holding up the event loop."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from pytest_gaia.sandbox.failures import failed

if TYPE_CHECKING:
    import signal

    from pytest_gaia.sandbox.processes import Child


async def succeeded(child: Child, what: str, within: float) -> bool:
    """Wait until a child ends by itself and say whether it ended well.

    Raises ``SandboxError`` that begins with ``what`` if it has not ended after ``within`` seconds.
    """
    deadline = time.monotonic() + within
    while child.running:
        if time.monotonic() > deadline:
            child.process.kill()
            child.process.wait()
            raise failed(f"{what} took longer than {within:.0f} s", child.tail())
        await asyncio.sleep(0.001)
    return child.process.returncode == 0


async def ended(child: Child, request: signal.Signals, within: float) -> None:
    """Ask a child to end and wait until it has; it is killed after ``within`` seconds."""
    child.process.send_signal(request)
    deadline = time.monotonic() + within
    while child.running:
        if time.monotonic() > deadline:
            child.process.kill()
        await asyncio.sleep(0.001)
