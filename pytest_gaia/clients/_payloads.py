"""What a message carries: from values to bytes and back, as the platform does it."""

import json
from typing import Any


def encode(payload: Any) -> bytes:
    """Return the bytes of a payload: nothing for None, bytes as they are, text in UTF-8, JSON otherwise."""
    if payload is None:
        return b""
    if isinstance(payload, bytes):
        return payload
    return payload.encode() if isinstance(payload, str) else to_json(payload)


def to_json(value: Any) -> bytes:
    """Return ``value`` as JSON. Raises ``TypeError`` or ``ValueError`` for what JSON does not have, such as NaN."""
    try:
        return json.dumps(value, allow_nan=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None


def from_json(text: str | bytes) -> Any:
    """Return what a JSON text holds. Raises ``ValueError``, also for NaN and Infinity, which Python's own decoder takes."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no value of JSON")


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
        value = from_json(text)
    except ValueError:
        return text
    return _decoded_again(value) if isinstance(value, str) else value


def _decoded_again(text: str) -> Any:
    try:
        inner = from_json(text)
    except ValueError:
        return text
    return inner if isinstance(inner, (dict, list)) else text
