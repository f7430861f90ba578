"""What a message carries: from values to bytes and back, as the platform does it."""

from __future__ import annotations

import json
from typing import Any


def encode(payload: Any) -> bytes:
    """Return the bytes of a payload: nothing for None, bytes as they are, text in UTF-8, JSON otherwise."""
    if payload is None:
        return b""
    if isinstance(payload, bytes):
        return payload
    return payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()


def decode(payload: bytes) -> Any:
    """Return what a payload holds.

    JSON is decoded; a JSON string that itself holds an object or a list, as the gateway sends it, is decoded again.
    Text that is not JSON is returned as it is, bytes that are not text as bytes, and nothing as None.
    """
    if not payload:
        return None
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return payload
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _decoded_again(value) if isinstance(value, str) else value


def _decoded_again(text: str) -> Any:
    try:
        inner = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return inner if isinstance(inner, (dict, list)) else text
