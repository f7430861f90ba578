"""Payloads as the platform sends them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.clients.exchanges import decode, encode

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**31), 10**31) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("payload", "data"),
    [
        (b"", None),
        (b'{"status": "ready"}', {"status": "ready"}),
        (json.dumps(json.dumps({"status": "ready"})).encode(), {"status": "ready"}),
        (json.dumps(json.dumps([1])).encode(), [1]),
        (b'"ready"', "ready"),
        (b'"7"', "7"),
        (b"7", 7),
        (b"not json", "not json"),
        (b'{"a": NaN}', '{"a": NaN}'),
        (json.dumps('{"a": -Infinity}').encode(), '{"a": -Infinity}'),
        (b'{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        (b"1" * 33, "1" * 33),
        ("grün".encode(), "grün"),
        (b"\xff\xfe", b"\xff\xfe"),
    ],
)
def test_a_payload_is_decoded_once_or_twice_as_it_needs(payload: bytes, data: object) -> None:
    assert decode(payload) == data


@pytest.mark.parametrize(
    ("value", "payload"), [(None, b""), (b"raw", b"raw"), ("text", b"text"), ({"a": 1}, b'{"a": 1}'), (7, b"7")]
)
def test_a_value_is_encoded(value: object, payload: bytes) -> None:
    assert encode(value) == payload


@pytest.mark.parametrize("value", [float("nan"), {"a": [float("-inf")]}])
def test_a_number_that_json_does_not_have_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(value)


@given(st.lists(VALUES) | st.dictionaries(st.text(), VALUES))
def test_objects_and_lists_survive_the_way(value: object) -> None:
    assert decode(encode(value)) == value
    assert decode(encode(json.dumps(json.dumps(value)))) == value
