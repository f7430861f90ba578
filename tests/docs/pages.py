"""Command lines in Markdown pages, and the comments that mark how to run them.

A page with commands has one of these comments below its heading:

- ``<!-- commands: run in PROJECT -->``: a test runs them in a new copy of a project of :data:`PROJECTS`;
- ``<!-- commands: need REASON -->``: they cannot run in a test, for example because they need a real environment.

A comment directly above a block changes that block: ``<!-- needs REASON -->`` skips it, ``<!-- exits 11 -->`` is the exit
code of its last command, and ``<!-- in a second terminal -->`` keeps its command running until the end of the page. A file
that the page shows with ``literalinclude`` is copied to the project at this point.
"""

from __future__ import annotations

import datetime
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md")),
        *(ROOT / "examples").glob("*/README.md"),
        *(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts),
    ]
)
TODAY = datetime.datetime.now().astimezone().date()
FOUR_WEEKS = datetime.timedelta(days=28)
PROJECTS = {
    "an empty folder": (),
    "the shop": (
        f"cp -r {ROOT}/examples/shop/. .",
        "rm -rf .gaia",
        f"sed -i 's/^created .*/created = {TODAY}/; s/^expires .*/expires = {TODAY + FOUR_WEEKS}/' suites/expectations/*",
    ),
    "this repository": (f"cp -r {' '.join(str(ROOT / name) for name in ('gaia.toml', 'pyproject.toml', 'suites'))} .",),
}
"""project → commands that create it"""
_BLOCK = re.compile(
    r"^(?P<indent> *)(?:<!-- (?P<mark>[^>]*) -->\n+(?P=indent))?```(?:console|sh)\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"^```\{literalinclude\} (?P<path>\S+)$", re.MULTILINE)
_PAGE = re.compile(r"^<!-- commands: (?P<how>.*) -->$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Command:
    """One command line, and the lines that the page shows below it."""

    line: str
    shown: tuple[str, ...] = ()

    @property
    def words(self) -> list[list[str]]:
        """The simple commands of the line, without assignments and redirections, each as words."""
        parser = shlex.shlex(self.line, posix=True, punctuation_chars="|&;<>()")
        parser.whitespace_split = True
        commands: list[list[str]] = [[]]
        for word in parser:
            if set(word) <= set("|&;()"):
                commands.append([])
            elif commands[-1] or not re.match(r"\w+=", word):
                commands[-1].append(word)
        return [each for each in commands if each]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of commands."""

    mark: str
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Included:
    """A file that a page shows."""

    path: str


def steps(page: Path) -> list[Block | Included]:
    """Return the blocks and the included files of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = [*_BLOCK.finditer(text), *_FILE.finditer(text)]
    return [
        Included(match["path"]) if match.re is _FILE else _block(match)
        for match in sorted(found, key=lambda match: match.start())
    ]


def how_to_run(page: Path) -> str | None:
    """Return what the comment of a page prescribes, such as ``run in examples``."""
    found = _PAGE.search(page.read_text(encoding="utf-8"))
    return found["how"] if found else None


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page that show commands."""
    return [step for step in steps(page) if isinstance(step, Block) and step.commands]


def _block(match: re.Match[str]) -> Block:
    mark = match["mark"] or ""
    return Block("" if mark.startswith("commands:") else mark, _commands(match["body"], len(match["indent"])))


def _commands(body: str, indent: int) -> tuple[Command, ...]:
    lines = [line[indent:] for line in body.splitlines()]
    prompts = any(line.startswith("$ ") for line in lines)
    commands: list[Command] = []
    continued = False
    for line in lines:
        text = line.removeprefix("$ ") if prompts else line
        if continued:
            commands[-1] = Command(f"{commands[-1].line[:-1]} {text.strip()}")
        elif line.startswith("$ ") or (not prompts and line.strip() and not line.startswith("#")):
            commands.append(Command(_without_comment(text)))
        elif commands and line.strip():
            commands[-1] = Command(commands[-1].line, (*commands[-1].shown, line))
        continued = bool(commands) and commands[-1].line.endswith("\\")
    return tuple(commands)


def _without_comment(line: str) -> str:
    return re.sub(r"(?<=\S)\s{2,}#.*|(?<=\S)\s#\s.*", "", line).rstrip()
