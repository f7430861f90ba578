"""A plugin for the inner run of pytest: a response of kb violates the schema in its OpenAPI document."""

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
    sandbox.fault("main", "kb", "set", route="/experience/list", field="experiences", value="none")
