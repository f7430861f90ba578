"""What keeps a picture from being made."""

from __future__ import annotations


class Missing(Exception):
    """A tool is missing, or something that was run ended otherwise than it should; says what to do."""
