"""From the text of a script in a CI file to its commands, each with its line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gaia.config.deployfiles.model import Place
from pytest_gaia.preflight.workflows.model import Command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BEGINS = re.compile(r"(?:^|[;&|]\s*|\bdo\s+|\bthen\s+)(?:while|until|for)\b")
_ENDS = re.compile(r"(?:^|[;&|]\s*)done\b")
_IGNORED = re.compile(r"\|\|\s*(?:true|:|exit\s+0)\s*(?:$|[;)])")

_COMMENT = re.compile(r"(?:^|\s)#[^\"']*$")


@dataclass(frozen=True, slots=True)
class Script:
    """One script, and where and when it runs."""

    text: str
    place: Place
    """of the key that it is the value of"""
    step: str = ""
    on_failure: bool = False
    is_ignored: bool = False


def commands(script: Script, lines: Sequence[str]) -> Iterator[Command]:
    """Yield the commands of ``script``; ``lines`` are the whole file's."""
    depth, row = 0, script.place.line - 1
    for text, pieces in _joined(script.text):
        row = _find(pieces[0], lines, row)
        begun, ended = len(_BEGINS.findall(text)), len(_ENDS.findall(text))
        yield Command(
            text,
            Place(script.place.file, row + 1, script.place.key),
            script.step,
            script.on_failure,
            in_loop=depth > 0 or begun > 0,
            is_ignored=script.is_ignored or bool(_IGNORED.search(text)),
        )
        depth = max(0, depth + begun - ended)


def _joined(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (command, its lines as they are written), comments left out."""
    held: list[str] = []
    for line in text.splitlines():
        stripped = _COMMENT.sub("", line).strip()
        if not held and not stripped:
            continue
        held.append(stripped)
        if not stripped.endswith("\\"):
            yield " ".join(each.rstrip("\\").strip() for each in held), held
            held = []
    if held:
        yield " ".join(each.rstrip("\\").strip() for each in held), held


def _find(piece: str, lines: Sequence[str], start: int) -> int:
    """Return the first row from ``start`` on that holds ``piece``; ``start`` where the file writes it otherwise."""
    return next((row for row in range(start, len(lines)) if piece in lines[row]), start)
