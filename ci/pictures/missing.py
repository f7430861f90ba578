"""The error of a picture that cannot be made."""

from __future__ import annotations


class Missing(Exception):
    """A tool is missing, or a command failed; the message explains what to do."""
