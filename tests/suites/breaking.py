"""A plugin for the pytest that is run below: personas answer in another way than any rule for them says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.stash import RUN

if TYPE_CHECKING:
    import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Before the first test, give the sandbox the fault."""
    stack = session.config.stash[RUN].stack
    assert stack is not None
    stack.ready()
    stack.fault("main", "gateway", "status", route="/api/v0.2/personas/*", status=500, body={"detail": "broken"})
    stack.fault("main", "gateway", "status", route="/api/v0.2/personas", status=500, body={"detail": "broken"})
