"""Property-based tests are not timed: on a busy machine one slow example would fail a right answer."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
