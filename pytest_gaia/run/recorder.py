"""What the running test has exchanged with the platform."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_gaia.clients.exchanges import Exchange


@dataclass(slots=True)
class Recorder:
    """Collects the exchanges of one test; calling it records one more."""

    exchanges: list[Exchange] = field(default_factory=list)

    def __call__(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    def clear(self) -> None:
        """Forget everything: the next test begins."""
        if self.exchanges:
            # A new list, because whoever asked for the old one may still be reading it.
            self.exchanges = []

    @property
    def last(self) -> Exchange | None:
        """The latest exchange, if there was one."""
        return self.exchanges[-1] if self.exchanges else None
