"""Every key that this package puts into pytest's stash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_gaia.run.session import Run

RUN: pytest.StashKey[Run] = pytest.StashKey()
"""on the config: the Gaia side of this pytest run; missing where the run does not use Gaia"""
