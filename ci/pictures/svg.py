"""Draw a terminal: an SVG file animated with CSS, and one of the last frame."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from ci.pictures.recording import COLUMNS, ROWS
from ci.pictures.screen import BACKGROUND, FOREGROUND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci.pictures.frames import Frame, Row, Span, Style

_CELL, _LINE, _SIZE, _BASE = 8.4, 19, 14, 14
"""pixels: a column, a line, the font, and from the top of a line to its baseline"""
_MARGIN, _BAR = 14, 34
WIDTH, HEIGHT = round(COLUMNS * _CELL) + 2 * _MARGIN, ROWS * _LINE + _BAR + _MARGIN
_FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"


class Drawing:
    """The file contains repeated rows and styles once."""

    def __init__(self) -> None:
        self._rows: dict[Row, int] = {}
        self._styles: dict[Style, int] = {}

    def animated(self, frames: Sequence[Frame], title: str) -> str:
        """Return an SVG that shows each frame at its time, and then stays at the last one.

        With `prefers-reduced-motion`, it shows only the last frame.
        """
        if not frames:
            return self.still(frames, title)
        strip = "\n".join(self._frame(frame, number * ROWS * _LINE) for number, frame in enumerate(frames))
        return self._file(f'<g id="film">\n{strip}\n</g>', title, _film(frames))

    def still(self, frames: Sequence[Frame], title: str) -> str:
        """Return an SVG of the last frame; of an empty terminal if there is none."""
        return self._file(self._frame(frames[-1], 0) if frames else "", title, "")

    def _frame(self, frame: Frame, top: int) -> str:
        used = [
            f'<use href="#r{self._rows.setdefault(row, len(self._rows))}" y="{top + number * _LINE}"/>'
            for number, row in enumerate(frame.rows)
            if row
        ]
        return "".join(used)

    def _file(self, content: str, title: str, film: str) -> str:
        rows = "\n".join(self._row(row, number) for row, number in self._rows.items())
        styles = "\n".join(_expectation(style, number) for style, number in self._styles.items())
        dots = "".join(f'<circle cx="{20 + 18 * each}" cy="18" r="5" fill="#30363d"/>' for each in range(3))
        return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" \
aria-label={quoteattr(_printable(title))}>
<title>{_escaped(title)}</title>
<style>
text {{ font: {_SIZE}px {_FONTS}; fill: {FOREGROUND}; white-space: pre; }}
{styles}
{film}</style>
<defs>
{rows}
</defs>
<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="{BACKGROUND}"/>
{dots}
<svg x="{_MARGIN}" y="{_BAR}" width="{round(COLUMNS * _CELL)}" height="{ROWS * _LINE}">
{content}
</svg>
</svg>
"""

    def _row(self, row: Row, number: int) -> str:
        return f'<g id="r{number}">{"".join(self._span(span) for span in row)}</g>'

    def _span(self, span: Span) -> str:
        x, width = _pixels(span.column), _pixels(span.cells)
        # Each text takes its columns, whatever the font of the reader is.
        text = f'<text x="{x}" y="{_BASE}" textLength="{width}" lengthAdjust="spacingAndGlyphs" xml:space="preserve"'
        under = ""
        if span.style.background:
            under = f'<rect x="{x}" width="{width}" height="{_LINE}" fill="{span.style.background}"/>'
        if _declarations(span.style):
            text += f' class="s{self._styles.setdefault(span.style, len(self._styles))}"'
        return f"{under}{text}>{_escaped(span.text)}</text>"


def _pixels(columns: int) -> str:
    return f"{columns * _CELL:.1f}".removesuffix(".0")


def _expectation(style: Style, number: int) -> str:
    return f".s{number} {{ {_declarations(style)} }}"


def _declarations(style: Style) -> str:
    said = [
        f"fill: {style.colour};" if style.colour else "",
        "font-weight: bold;" if style.bold else "",
        "font-style: italic;" if style.italic else "",
        "text-decoration: underline;" if style.underlined else "",
    ]
    return " ".join(filter(None, said))


def _film(frames: Sequence[Frame]) -> str:
    """The frames form a vertical strip, which moves behind the window frame by frame."""
    whole, last = frames[-1].at, _moved(len(frames) - 1)
    if not whole:
        return f"#film {{ {last} }}\n"
    steps = "\n".join(f"  {100 * frame.at / whole:.2f}% {{ {_moved(number)} }}" for number, frame in enumerate(frames))
    return f"""\
#film {{ {last} animation: film {whole:.2f}s step-end 1; }}
@keyframes film {{
{steps}
}}
@media (prefers-reduced-motion: reduce) {{ #film {{ animation: none; }} }}
"""


def _moved(number: int) -> str:
    return f"transform: translateY(-{number * ROWS * _LINE}px);"


def _escaped(text: str) -> str:
    return escape(_printable(text))


def _printable(text: str) -> str:
    """XML cannot contain control characters."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
