"""A plugin for the pytest that is run below: personas answer in another way than any rule for them says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.stash import RUN

if TYPE_CHECKING:
    import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Before the first test, give the sandbox the fault."""
    sandbox = session.config.stash[RUN].sandbox
    assert sandbox is not None
    sandbox.ready()
    sandbox.fault("main", "gateway", "status", route="/api/v0.2/personas/*", status=500, body={"detail": "broken"})
    sandbox.fault("main", "gateway", "status", route="/api/v0.2/personas", status=500, body={"detail": "broken"})
