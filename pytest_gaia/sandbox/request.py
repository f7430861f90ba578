"""What one run asks of its sandbox, as the file ``request.json`` in the run's directory."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from pytest_gaia.config.platform import HTTP_SERVICES
from pytest_gaia.sandbox.directories import REQUEST, write_private

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.config.environment import Topology


@dataclass(frozen=True, slots=True)
class Request:
    """The shape of the platform, and its secrets."""

    api_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    without: tuple[str, ...] = ()
    """members that do not run"""
    topology: Topology = "microservices"
    fixed: bool = False
    """whether to serve the platform without its known defects"""

    @property
    def running(self) -> tuple[str, ...]:
        """The services that run in every cell."""
        there = ("gateway",) if self.topology == "gateway-only" else HTTP_SERVICES
        return tuple(service for service in there if service not in self.without)

    @property
    def has_broker(self) -> bool:
        """Whether the broker runs from the start."""
        return self.topology != "gateway-only" and "nats" not in self.without

    def write(self, directory: Path) -> None:
        """Store the request for the supervisor of ``directory``, readable by this user only."""
        write_private(directory / REQUEST, json.dumps(asdict(self)))

    @classmethod
    def read(cls, directory: Path) -> Request:
        """Return the request of ``directory``."""
        stored = json.loads((directory / REQUEST).read_text("utf-8"))
        return cls(**{**stored, "without": tuple(stored["without"])})
