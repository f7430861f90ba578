"""Find words that docs/glossary.md rules out: `python -m ci.glossary [--counts] [--root DIR] [PATH …]`.

Scan documents, templates, configuration and scripts as text; in Python, scan comments, docstrings and strings with a
space in them, and names only for the words that the glossary prints in bold. A line with `glossary: ok` is skipped.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"
# These name old words on purpose, or were not written here.
EXEMPT = re.compile(
    r"docs/glossary\.md|docs/reference/migrating\.md|docs/how-to/migrate.*|tests/house/test_glossary\.py"
    r"|\.git-blame-ignore-revs|LICENSE|uv\.lock|ci/lock/.*|ci/npm/.*"
)
TEXT = {".md", ".html", ".toml", ".yml", ".yaml", ".cfg", ".ini", ".sh", ".txt", ""}
ALLOWED = "glossary: ok"
_CELL = re.compile(r"(\*\*)?`([^`]+)`(\*\*)?")
_MARKUP = re.compile(r"\]\([^)\s]*\)|<[^>\n]*>")
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|<style>.*?</style>|<[^>]*>", re.DOTALL)
_KEY = re.compile(r"^\s*[\w.\"-]+\s*=")


@dataclass(frozen=True, slots=True)
class Word:
    """A word or phrase that the glossary rules out."""

    text: str
    instead: str
    in_names: bool

    @property
    def pattern(self) -> str:
        """A regular expression for the word, with `*` for any ending."""
        return r"\s+".join(re.escape(part).replace(r"\*", r"\w*") for part in self.text.split())


@dataclass(frozen=True, slots=True)
class Hit:
    """One use of a ruled-out word."""

    path: str
    line: int
    found: str
    word: Word


def read_glossary(text: str) -> list[Word]:
    """Return the words in the last column of each table whose heading is `Never`."""
    words: list[Word] = []
    checked = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            checked = False
        elif cells[-1] == "Never":
            checked = True
        elif checked:
            words += [Word(each[2], cells[0], bool(each[1])) for each in _CELL.finditer(cells[-1])]
    return words


class Check:
    """Searches files for the words of one glossary."""

    def __init__(self, words: list[Word]) -> None:
        self._in_text = _alternatives(words)
        self._in_names = _alternatives([word for word in words if word.in_names])
        self._words = words

    def scan(self, path: str, text: str) -> list[Hit]:
        """Return the hits in one file, in order of lines."""
        allowed = {number for number, line in enumerate(text.splitlines(), 1) if ALLOWED in line}
        parts = _python(text) if path.endswith(".py") else _plain(path, text)
        hits = [hit for start, part, is_name in parts for hit in self._search(path, start, part, is_name=is_name)]
        return sorted((hit for hit in hits if hit.line not in allowed), key=lambda hit: hit.line)

    def _search(self, path: str, start: int, text: str, *, is_name: bool) -> Iterator[Hit]:
        for match in (self._in_names if is_name else self._in_text).finditer(text):
            word = next(word for word in self._words if re.fullmatch(word.pattern, match[0], re.IGNORECASE))
            yield Hit(path, start + text.count("\n", 0, match.start()), match[0], word)


def _alternatives(words: list[Word]) -> re.Pattern[str]:
    return re.compile(r"(?<![\w-])(?:" + "|".join(word.pattern for word in words) + r")(?![\w-])", re.IGNORECASE)


def _plain(path: str, text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield the text of a document without markup, link targets, template expressions and keys of TOML."""
    markup = _TEMPLATE if path.endswith(".html") else _MARKUP
    cleaned = markup.sub(lambda match: "\n" * match[0].count("\n") + " ", text)
    if path.startswith(("changes/", "CHANGELOG.md")):
        # The changelog names old options and commands.
        cleaned = re.sub(r"`[^`]*`", " ", cleaned)
    if path.endswith(".toml"):
        cleaned = "\n".join(_KEY.sub("", line) for line in cleaned.splitlines())
    yield 1, cleaned, False


def _python(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield comments, strings with a space in them, and the words of names."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string, False
        elif token.type == tokenize.NAME:
            yield token.start[0], re.sub(r"_|(?<=[a-z0-9])(?=[A-Z])", " ", token.string), True
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            # Code in docstrings has double backticks.
            yield node.lineno, re.sub(r"``[^`]*``", lambda match: " " + "\n" * match[0].count("\n"), node.value), False


def files(root: Path, paths: list[str]) -> list[str]:
    """Return the tracked text files that are checked."""
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z", "--", *paths], capture_output=True, check=True)
    names = [name for name in listed.stdout.decode().split("\0") if name and not EXEMPT.fullmatch(name)]
    return [name for name in names if Path(name).suffix in TEXT | {".py"} and (root / name).is_file()]


def package(path: str) -> str:
    """Return the part of the project that a row of the counts stands for."""
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] in {"pytest_gaia", "docs", "ci"} and len(parts) > 2 else parts[0]


def main() -> int:
    """Print each hit, or counts for each package and word. Return 1 if there is a hit."""
    options = argparse.ArgumentParser(
        prog="python -m ci.glossary", description="Find words that the glossary rules out."
    )
    options.add_argument("paths", nargs="*", help="files or folders (default: all tracked files)")
    options.add_argument("--counts", action="store_true", help="print counts for each package and word, and exit 0")
    options.add_argument("--root", type=Path, default=ROOT, help="another checkout of this repository")
    given = options.parse_args()
    check = Check(read_glossary(GLOSSARY.read_text(encoding="utf-8")))
    hits: list[Hit] = []
    for name in files(given.root, given.paths):
        text = (given.root / name).read_text(encoding="utf-8", errors="replace")
        hits += check.scan(name, text)
    if given.counts:
        _print_counts(hits)
        return 0
    for hit in hits:
        print(f"{hit.path}:{hit.line}: “{hit.found}”: see “{hit.word.instead}” in docs/glossary.md")
    print(f"{len(hits)} uses of words that docs/glossary.md rules out", file=sys.stderr)
    return bool(hits)


def _print_counts(hits: list[Hit]) -> None:
    for title, counts in (
        ("package", Counter(package(hit.path) for hit in hits)),
        ("word", Counter(hit.word.text for hit in hits)),
    ):
        print(f"{'uses':>6}  {title}")
        for name, count in counts.most_common():
            print(f"{count:6}  {name}")
        print()
    print(f"{len(hits):6}  in total")


if __name__ == "__main__":
    sys.exit(main())
