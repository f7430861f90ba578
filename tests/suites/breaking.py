"""A plugin for the inner run of pytest: responses of personas match no expectation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.stash import RUN

if TYPE_CHECKING:
    import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Inject the fault before the first test."""
    sandbox = session.config.stash[RUN].sandbox
    assert sandbox is not None
    sandbox.ready()
    sandbox.fault("main", "gateway", "status", route="/api/v0.2/personas/*", status=500, body={"detail": "broken"})
    sandbox.fault("main", "gateway", "status", route="/api/v0.2/personas", status=500, body={"detail": "broken"})
