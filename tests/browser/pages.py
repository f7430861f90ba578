"""Open pages and record their requests and console messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page, Route

HERE = frozenset({"127.0.0.1", "localhost", "::1", ""})
"""hosts on this machine; files, blobs and data URLs have no host"""

_FAILED = 400
PATIENCE = 15_000
"""milliseconds to wait for the content of a page"""


@dataclass
class Watched:
    """A page, and its requests and console messages."""

    page: Page
    requests: list[str] = field(default_factory=list)
    """addresses, including those of workers, frames, sockets and beacons"""
    missing: list[str] = field(default_factory=list)
    """addresses on this machine with an error as response"""
    complaints: list[str] = field(default_factory=list)
    """errors and warnings in the console, and exceptions"""

    @property
    def gone_out(self) -> list[str]:
        """The requests to other machines. The browser blocked them."""
        return [url for url in self.requests if (urlsplit(url).hostname or "") not in HERE]


class Pages:
    """Opens each page in a separate profile."""

    def __init__(self, browser: Browser) -> None:
        """Use ``browser`` without closing it."""
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    async def open(self, address: Path | str, **profile: Any) -> Watched:
        """Open a file or an address; ``profile`` has arguments of ``Browser.new_context``, such as viewport and color_scheme."""
        context = await self._browser.new_context(**profile)
        context.set_default_timeout(PATIENCE)
        self._contexts.append(context)
        watched = Watched(await context.new_page())
        await _watch(context, watched)
        await watched.page.goto(address.as_uri() if isinstance(address, Path) else address)
        return watched

    async def close(self) -> None:
        """Close all pages."""
        for context in self._contexts:
            await context.close()


async def _watch(context: BrowserContext, watched: Watched) -> None:
    async def stop_at_the_door(route: Route) -> None:
        if (urlsplit(route.request.url).hostname or "") in HERE:
            await route.continue_()
        else:
            await route.abort()

    await context.route("**/*", stop_at_the_door)
    context.on("request", lambda request: watched.requests.append(request.url))
    context.on("response", lambda answer: watched.missing.append(answer.url) if answer.status >= _FAILED else None)
    watched.page.on("websocket", lambda socket: watched.requests.append(socket.url))
    watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    watched.page.on(
        "console",
        lambda message: watched.complaints.append(message.text) if message.type in ("error", "warning") else None,
    )
