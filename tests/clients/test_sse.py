"""Server-sent events by the HTML standard, for any split of the bytes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.clients.http.responses import DONE, Decoder

STREAM = (
    "\ufeff: a comment\n"
    'data: {"type": "start"}\n\n'
    "event: note\r\nid: 7\r\ndata: zwei\r\ndata:Zeilen ü\u2028x\r\n\r\n"
    "retry: 10\n\n"
    "data\n\n"
    'data: {"type": "content", "content": ""}\r\r'
    "data: [DONE]\n\n"
    "data: cut"
).encode()

EXPECTED = [
    ("message", None, {"type": "start"}, "start"),
    ("note", "7", "zwei\nZeilen ü\u2028x", None),
    ("message", "7", "", None),
    ("message", "7", {"type": "content", "content": ""}, "content"),
    ("message", "7", DONE, None),
]


def test_events_are_read_and_what_the_stream_cuts_off_is_not_one() -> None:
    events = Decoder().feed(STREAM)
    assert [(event.name, event.id, event.data, event.type) for event in events] == EXPECTED
    assert events[0].text == '{"type": "start"}'


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM))))
def test_the_cuts_between_the_pieces_do_not_matter(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    decoder = Decoder()
    pieces = (STREAM[start:end] for start, end in pairwise(edges))
    assert [event for piece in pieces for event in decoder.feed(piece)] == Decoder().feed(STREAM)


@pytest.mark.parametrize("data", ["[1]", "7", "null", '"text"'])
def test_data_that_is_no_object_has_no_type(data: str) -> None:
    assert Decoder().feed(f"data: {data}\n\n".encode())[0].type is None
