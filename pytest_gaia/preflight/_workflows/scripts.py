"""From the scripts of a CI file to their commands, each with its line."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_gaia.files.toml import Place
from pytest_gaia.preflight._workflows.exit_codes import Fates, Shell, fates, options
from pytest_gaia.preflight._workflows.model import Command, YamlFile
from pytest_gaia.preflight._workflows.shell import Line, Simple, Token, read

_BEGINS = re.compile(r"(?:^|[;&|]\s*|\bdo\s+|\bthen\s+)(?:while|until|for)\b")
_ENDS = re.compile(r"(?:^|[;&|]\s*)done\b")

BASH = Shell(errexit=True, pipefail=True)
SH = Shell(errexit=True, pipefail=False)
"""also GitHub's default, which is bash without pipefail"""


@dataclass(frozen=True, slots=True)
class Script:
    """One script, and where and when it runs."""

    text: str
    place: Place
    """of the key that it is the value of"""
    step: str = ""
    on_failure: bool = False
    is_ignored: bool = False


def named_shell(name: str) -> Shell | None:
    """Return what the shell of a workflow does about failures, as ``shell:`` names it; None for one that is not known."""
    program, *given = name.split()
    if program.rpartition("/")[2] not in ("bash", "sh"):
        return None
    if not given:
        return BASH if program == "bash" else SH
    errexit, pipefail = options(given)
    return Shell(errexit is True, pipefail is True)


def action(script: Script) -> Command:
    """Return an action with its inputs as a command."""
    lost = (script.text,) if script.is_ignored else ()
    return Command(script.text, script.place, script.step, script.on_failure, lost=lost)


def commands(scripts: Iterable[Script], file: YamlFile, shell: Shell | None) -> Iterator[Command]:
    """Yield the commands of ``scripts`` of ``file``, which run one after another in one shell."""
    tokens: list[Token] = []
    found: list[tuple[Script, Line]] = []
    for script in scripts:
        own, written = read(script.text, len(found))
        tokens += own
        found += ((script, line) for line in written)
    known = fates(tokens, shell, file.names_read) if shell else Fates((), ())
    lost, otherwise = _by_line(known.lost), _by_line(known.on_failure)
    depth, row, last = 0, 0, None
    for number, (script, line) in enumerate(found):
        row = script.place.line - 1 if script is not last else row
        row, last = _find(line.first, file.lines, row), script
        begun, ended = len(_BEGINS.findall(line.text)), len(_ENDS.findall(line.text))
        yield Command(
            line.text,
            Place(script.place.file, row + 1, script.place.key),
            script.step,
            script.on_failure,
            in_loop=depth > 0 or begun > 0,
            lost=(line.text,) if script.is_ignored else lost.get(number, ()),
            otherwise=otherwise.get(number, ()),
        )
        depth = max(0, depth + begun - ended)


def _by_line(programs: Iterable[Simple]) -> dict[int, tuple[str, ...]]:
    found: dict[int, list[str]] = {}
    for each in programs:
        found.setdefault(each.line, []).append(each.text)
    return {number: tuple(texts) for number, texts in found.items()}


def _find(piece: str, lines: Sequence[str], start: int) -> int:
    """Return the first row from ``start`` on that holds ``piece``; ``start`` where the file writes it otherwise."""
    return next((row for row in range(start, len(lines)) if piece in lines[row]), start)
