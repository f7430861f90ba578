"""How much an environment tolerates. The value is part of the environment, so it lives in :mod:`pytest_gaia.config`."""

from __future__ import annotations

from pytest_gaia.config.tolerance import PRODUCTION, Tolerance, tolerance_of

__all__ = ["PRODUCTION", "Tolerance", "tolerance_of"]
