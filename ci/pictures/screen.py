"""Emulate a terminal: from recorded bytes to frames of the screen."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate, groupby, pairwise
from typing import TYPE_CHECKING

from ci.pictures.frames import Frame, Row, Span, Style
from ci.pictures.missing import Missing
from ci.pictures.recording import COLUMNS, ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyte
    from pyte.screens import Char

    from ci.pictures.recording import Recording

PROMPT = b"\x1b[1;32m$\x1b[0m "
_KEY, _ENTER, _LINE, _READ = 0.04, 0.5, 0.06, 2.0
"""seconds: a key, the pause before Enter, a line of a burst, and the pause after a command"""

COLORS = {
    "black": "#484f58",
    "red": "#ff7b72",
    "green": "#3fb950",
    "brown": "#d29922",
    "blue": "#58a6ff",
    "magenta": "#bc8cff",
    "cyan": "#39c5cf",
    "white": "#b1bac4",
    "brightblack": "#8b949e",
    "brightred": "#ffa198",
    "brightgreen": "#56d364",
    "brightbrown": "#e3b341",
    "brightblue": "#79c0ff",
    "brightmagenta": "#d2a8ff",
    "brightcyan": "#56d4dd",
    "brightwhite": "#ffffff",
}
BACKGROUND, FOREGROUND = "#0d1117", "#e6edf3"


def frames_of(recordings: Sequence[Recording], clean: Callable[[str], str] = str) -> list[Frame]:
    """Return the frames of the screen while the commands ran in order, each after a prompt.

    ``clean`` takes the output of a command, and returns the text to show instead. Raise ``Missing`` without pyte.
    """
    try:
        import pyte
    except ModuleNotFoundError:
        raise Missing("pyte, which emulates a terminal, is not installed. Run: ci/setup pictures.") from None
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    frames: list[Frame] = []
    for at, data in _played(recordings, clean):
        stream.feed(data)
        frames.append(Frame(at, tuple(_row(screen, number) for number in range(ROWS))))
    return frames


def _played(recordings: Sequence[Recording], clean: Callable[[str], str]) -> Iterator[tuple[float, bytes]]:
    now = 0.0
    for recording in recordings:
        yield now, PROMPT
        for key in recording.shown:
            now += _KEY
            yield now, key.encode()
        now += _ENTER
        yield now, b"\r\n"
        start = now
        for at, line in _lines(recording, clean):
            # A terminal shows a burst at once, and readers would see only its end.
            now = max(start + at, now + (_LINE if line.endswith(b"\n") else 0.0))
            yield now, line
        now += _READ
        yield now, b""


def _lines(recording: Recording, clean: Callable[[str], str]) -> Iterator[tuple[float, bytes]]:
    """Yield each line at its time, and the pieces of a line separately, unless the line is cleaned."""
    whole = b"".join(written.data for written in recording.written)
    ends = list(accumulate(len(written.data) for written in recording.written))
    start = 0
    for line in whole.splitlines(keepends=True):
        end = start + len(line)
        text = line.decode(errors="replace")
        if (shown := clean(text)) != text:
            yield recording.written[bisect_left(ends, end)].at, shown.encode()
        else:
            cuts = [each for each in ends if start < each < end]
            for left, right in pairwise([start, *cuts, end]):
                yield recording.written[bisect_left(ends, right)].at, whole[left:right]
        start = end


def _row(screen: pyte.Screen, number: int) -> Row:
    cells = screen.buffer[number]
    spans = []
    column = 0
    for style, group in groupby((cells[each] for each in range(screen.columns)), _style):
        characters = list(group)
        spans.append(Span(column, len(characters), "".join(cell.data for cell in characters), style))
        column += len(characters)
    return tuple(_trimmed(span) for span in spans if span.text.strip() or _is_seen(span.style))


def _trimmed(span: Span) -> Span:
    """Remove the spaces around a text, which only make the file larger."""
    if _is_seen(span.style):
        return span
    left, right = (len(span.text) - len(each) for each in (span.text.lstrip(" "), span.text.rstrip(" ")))
    return Span(span.column + left, span.cells - left - right, span.text.strip(" "), span.style)


def _is_seen(style: Style) -> bool:
    return style.background is not None or style.underlined


def _style(cell: Char) -> Style:
    colour, background = _colour(cell.fg), _colour(cell.bg)
    if cell.reverse:
        colour, background = background or BACKGROUND, colour or FOREGROUND
    return Style(colour, background, cell.bold, cell.italics, cell.underscore)


def _colour(name: str) -> str | None:
    if name == "default":
        return None
    return COLORS.get(name) or (f"#{name}" if len(name) == 6 else None)
