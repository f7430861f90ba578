"""Secrets that were cut: pytest shortens a long value to its beginning, three dots, and its end."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_DOTS = re.compile(r"(?<!\.)\.\.\.(?!\.)")
_LEAST = 8
"""characters of a secret that show something of it"""
_FAR = 400
"""characters beside the dots that are looked at; pytest leaves fewer"""


class Fragments:
    """The beginnings and the ends of secrets. What begins as every address of its kind does is none."""

    def __init__(self, forms: Iterable[str]) -> None:
        self._heads: defaultdict[str, list[str]] = defaultdict(list)
        self._tails: defaultdict[str, list[str]] = defaultdict(list)
        for form in forms:
            if len(form) > _LEAST and "://" not in form:
                self._heads[form[:_LEAST]].append(form)
                self._tails[form[-_LEAST:]].append(form)

    def mask(self, text: str, mask: Callable[[str], str]) -> str:
        """Return ``text`` with the beginnings masked that stand before three dots, and the ends that follow them.

        ``mask`` makes of a whole secret what stands for it.
        """
        pieces, done = [], 0
        for start, end, form in sorted(self._spans(text), key=_longest_first):
            if start >= done:
                pieces += [text[done:start], mask(form)]
                done = end
        return "".join((*pieces, text[done:])) if pieces else text

    def _spans(self, text: str) -> Iterator[tuple[int, int, str]]:
        for cut in _DOTS.finditer(text):
            before, after = cut.start(), cut.end()
            for place, form in _known(text, max(0, before - _FAR), before, self._heads):
                if form.startswith(text[place:before]):
                    yield place, before, form
            for place, form in _known(text, after, min(len(text), after + _FAR), self._tails):
                if form.endswith(text[after : place + _LEAST]):
                    yield after, place + _LEAST, form


def _longest_first(span: tuple[int, int, str]) -> tuple[int, int]:
    return span[0], -span[1]


def _known(text: str, start: int, end: int, pieces: Mapping[str, list[str]]) -> Iterator[tuple[int, str]]:
    """Yield the places between ``start`` and ``end`` at which one of the pieces stands, with what it is a piece of."""
    for place in range(start, end - _LEAST + 1):
        for form in pieces.get(text[place : place + _LEAST], ()):
            yield place, form
