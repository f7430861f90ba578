"""What tests of deploy files stand in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.config.deploying import Deployed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def deployed(tmp_path: Path) -> Deployed:
    """A project whose staging reads Fly's files from ``deploy``."""
    made = Deployed(tmp_path)
    made.settings('[env.staging]\nfrom = "fly"\n')
    return made
