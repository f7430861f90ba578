"""Secrets that were cut: pytest shortens a long value to its beginning, three dots, and its end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_DOTS = re.compile(r"(?<!\.)\.\.\.(?!\.)")
_LEAST = 8
"""characters of a secret that show something of it"""


def mask_fragments(text: str, forms: Iterable[str], mask: Callable[[str], str]) -> str:
    """Return ``text`` with the beginnings of secrets masked that stand before three dots, and the ends that follow them.

    ``mask`` makes of a form what stands for it. What begins as every address of its kind does is no fragment.
    """
    cuts = [(found.start(), found.end()) for found in _DOTS.finditer(text)]
    if not cuts:
        return text
    spans: dict[int, tuple[int, str]] = {}
    for form in forms:
        if len(form) > _LEAST and "://" not in form:
            spans.update((start, (end, form)) for start, end in _spans(text, form, cuts))
    pieces, done = [], 0
    for start, (end, form) in sorted(spans.items()):
        if start >= done:
            pieces += [text[done:start], mask(form)]
            done = end
    return "".join((*pieces, text[done:]))


def _spans(text: str, form: str, cuts: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    head, tail = form[:_LEAST], form[-_LEAST:]
    for before, after in cuts:
        start = text.rfind(head, max(0, before - len(form)), before)
        if start >= 0 and form.startswith(text[start:before]):
            yield start, before
        end = text.find(tail, after, after + len(form))
        if end >= 0 and form.endswith(text[after : end + _LEAST]):
            yield after, end + _LEAST
