"""Encode and decode payloads of messages the way the platform does."""

import json
from typing import Any


def encode(payload: Any) -> bytes:
    """Return the bytes of a payload: empty for None, bytes unchanged, text as UTF-8, anything else as JSON."""
    if payload is None:
        return b""
    if isinstance(payload, bytes):
        return payload
    return payload.encode() if isinstance(payload, str) else to_json(payload)


def to_json(value: Any) -> bytes:
    """Return ``value`` as JSON. Raises ``TypeError`` or ``ValueError`` for a value that JSON cannot express, such as NaN."""
    try:
        return json.dumps(value, allow_nan=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None


def from_json(text: str | bytes) -> Any:
    """Return the value of a JSON text. Raises ``ValueError``, also for NaN and Infinity, which ``json`` accepts."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not valid JSON")


def decode(payload: bytes) -> Any:
    """Return the decoded payload.

    JSON is decoded. A JSON string that contains an object or a list, as some services send it, is decoded twice. Text
    that is not JSON is returned as text, other bytes as bytes, and an empty payload as None.
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
