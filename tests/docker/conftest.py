"""A Docker engine for the tests of this folder, one per process of pytest, and the fake next to it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.docker.engine import running_engine
from tests.docker.places import OnFake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.docker.engine import Engine
    from tests.docker.places import Place
    from tests.fake_tools import FakeTools


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A running engine with the image ``tiny``."""
    with running_engine() as started:
        yield started


@pytest.fixture(params=["fake", pytest.param("engine", marks=pytest.mark.slow("docker"))])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty folder whose ``docker`` is the fake or a real engine."""
    if request.param == "fake":
        tools: FakeTools = request.getfixturevalue("fake_tools")
        folder = tmp_path / f"p{uuid.uuid4().hex[:10]}"
        folder.mkdir()
        yield OnFake(folder, tools)
        return
    with request.getfixturevalue("engine").project(tmp_path, "services: {}\n") as project:
        yield project
