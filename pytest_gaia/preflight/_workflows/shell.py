"""Shell scripts of CI, parsed as far as it takes to see whose exit code counts. Nothing is ever run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

_DEEPEST = 50
"""levels of nesting beyond which a script is not analysed"""

_OPERATOR = re.compile(r"&&|\|\||\|&|;;&?|;&|\(\(|[;|()]|&(?!>)")
_PIECE = re.compile(
    r"""\\.|'[^']*'|"(?:\\.|[^"\\])*"|`[^`]*`|\$\{\{(?:[^}\n]|\}(?!\})){0,500}+\}\}|[<>]&|&>|[^\s;&|()]""", re.DOTALL
)
_HEREDOC = re.compile(r"<<-?\s*(?:'(\w+)'|\"(\w+)\"|\\?(\w+))")
_READS_COMMANDS = re.compile(r"(?:bash|sh|zsh|ssh)\b")
_LINE = re.compile(r"[^\n]*\n?")
_JOIN = re.compile(r"\s*\\?\n\s*")


class Token(NamedTuple):
    """A word, an operator, or the end of a line (``\\n``)."""

    text: str
    is_word: bool
    line: int
    """the number of the command line that it is part of"""


class Line(NamedTuple):
    """One command line; lines that are continued, and quotes over lines, make one."""

    text: str
    first: str
    """what is written on the first of its lines"""


@dataclass(slots=True, eq=False)
class Simple:
    """One program with its arguments."""

    words: list[str]
    line: int

    @property
    def text(self) -> str:
        return " ".join(self.words)


@dataclass(slots=True)
class Pipeline:
    commands: list[Node]
    is_negated: bool


@dataclass(slots=True)
class AndOr:
    """Pipelines with ``&&`` and ``||`` between them; the first one has no operator."""

    parts: list[tuple[str, Pipeline]]
    in_background: bool = False


@dataclass(slots=True)
class Group:
    body: list[AndOr]
    is_subshell: bool = False

    def lists(self) -> list[list[AndOr]]:
        return [self.body]


@dataclass(slots=True)
class If:
    branches: list[tuple[list[AndOr], list[AndOr]]]
    otherwise: list[AndOr] = field(default_factory=list)

    def lists(self) -> list[list[AndOr]]:
        return [*(each for branch in self.branches for each in branch), self.otherwise]


@dataclass(slots=True)
class Loop:
    condition: list[AndOr]
    body: list[AndOr]

    def lists(self) -> list[list[AndOr]]:
        return [self.condition, self.body]


@dataclass(slots=True)
class Several:
    """The branches of ``case``, or the body of a function: run by what is not known here."""

    bodies: list[list[AndOr]]
    is_function: bool = False

    def lists(self) -> list[list[AndOr]]:
        return self.bodies


Node: TypeAlias = "Simple | Group | If | Loop | Several"


class TooDeep(Exception):
    """A script that is nested too deep."""


def read(text: str, number: int = 0) -> tuple[list[Token], list[Line]]:
    """Return the tokens and the command lines of a script; its first line has that ``number``."""
    return _Lexer(text, number).read()


def simples(nodes: Iterable[AndOr | Node]) -> Iterator[Simple]:
    """Yield every program of ``nodes``, in their order."""
    for node in nodes:
        if isinstance(node, Simple):
            yield node
        else:
            yield from simples(_children(node))


def _children(node: AndOr | Group | If | Loop | Several) -> Iterator[AndOr | Node]:
    if isinstance(node, AndOr):
        return (each for _, pipeline in node.parts for each in pipeline.commands)
    return (each for body in node.lists() for each in body)


@dataclass(slots=True)
class _Lexer:
    text: str
    number: int
    place: int = 0
    tokens: list[Token] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    """of the command line that is read"""
    heredocs: list[str] = field(default_factory=list)
    has_open_bracket: bool = False

    def read(self) -> tuple[list[Token], list[Line]]:
        while self.place < len(self.text):
            self._step(self.text[self.place])
        self._end_line()
        return self.tokens, self.lines

    def _step(self, sign: str) -> None:
        operator = _OPERATOR.match(self.text, self.place)
        if self.text.startswith("\\\n", self.place):
            self._take(2)
        elif sign == "\n":
            self._newline()
        elif sign.isspace():
            self._take(1)
        elif sign == "#":
            self.place = self._line_end()
        elif operator:
            self._add(operator[0], is_word=False)
        else:
            self._add(self.text[self.place : self._word_end()], is_word=True)

    def _take(self, count: int) -> None:
        if self.pieces:
            self.pieces.append(self.text[self.place : self.place + count])
        self.place += count

    def _add(self, text: str, *, is_word: bool) -> None:
        self.tokens.append(Token(text, is_word, self.number))
        self.pieces.append(text)
        self.place += len(text)
        here = _HEREDOC.match(text) if is_word else None
        if here and not text.startswith("<<<"):
            self.heredocs.append(here[1] or here[2] or here[3])

    def _line_end(self) -> int:
        end = self.text.find("\n", self.place)
        return len(self.text) if end < 0 else end

    def _newline(self) -> None:
        if self.tokens and not self.tokens[-1].is_word and self.tokens[-1].text in ("&&", "||", "|", "|&"):
            self._take(1)
            return
        runs = bool(self.pieces) and _READS_COMMANDS.match(self.pieces[0])
        self._end_line()
        self.place += 1
        for word in self.heredocs if not runs else ():
            self._skip(word)
        self.heredocs = []

    def _skip(self, word: str) -> None:
        while self.place < len(self.text):
            found = _LINE.match(self.text, self.place)
            line = found[0] if found else ""
            self.place += len(line)
            if line.strip() == word:
                return

    def _end_line(self) -> None:
        if self.pieces:
            text = "".join(self.pieces).strip()
            self.lines.append(Line(_JOIN.sub(" ", text), text.partition("\n")[0].rstrip("\\").strip()))
            self.tokens.append(Token("\n", is_word=False, line=self.number))
            self.number += 1
            self.pieces = []

    def _word_end(self) -> int:
        place = self.place
        while place < len(self.text):
            if self.text[place] == "(" and place > self.place and self.text[place - 1] in "$<>=":
                place = self._closed(place)
                continue
            found = _PIECE.match(self.text, place)
            if found is None or (found[0] == "\\\n"):
                break
            place = found.end()
        return max(place, self.place + 1)

    def _closed(self, place: int) -> int:
        """Return where the bracket that opens at ``place`` has closed; behind it where it never does."""
        depth, start = 0, place
        while place < len(self.text) and not self.has_open_bracket:
            sign = self.text[place]
            depth += (sign == "(") - (sign == ")")
            found = _PIECE.match(self.text, place) if sign in "\\'\"`$" else None
            place = found.end() if found else place + 1
            if depth == 0:
                return place
        self.has_open_bracket = True
        return start + 1


_COMPOUND = ("if", "while", "until", "for", "select", "case", "{", "function", "[[")
_ENDS = frozenset({"then", "elif", "else", "fi", "do", "done", "esac", "}"})


def parse(tokens: Sequence[Token]) -> list[AndOr]:
    """Return the commands of a script. What closes nothing is passed over. Raises ``TooDeep``."""
    parser = _Parser(tokens)
    found: list[AndOr] = []
    while not parser.at_end():
        found += parser.list_until()
        parser.skip()
    return found


class _Parser:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0

    def at_end(self) -> bool:
        return self._place >= len(self._tokens)

    def skip(self) -> None:
        self._place += 1

    def _sign(self) -> str:
        """Return the operator that comes next; nothing before a word and at the end."""
        return "" if self.at_end() or self._tokens[self._place].is_word else self._tokens[self._place].text

    def _word(self) -> str:
        return "" if self.at_end() or not self._tokens[self._place].is_word else self._tokens[self._place].text

    def _takes(self, *texts: str) -> bool:
        if not self.at_end() and self._tokens[self._place].text in texts:
            self.skip()
            return True
        return False

    def list_until(self) -> list[AndOr]:
        """Read commands up to what can only close something."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise TooDeep
        found: list[AndOr] = []
        while not self.at_end():
            if self._takes(";", "\n", "&"):
                continue
            if self._word() in _ENDS or self._sign() in (")", ";;", ";&", ";;&"):
                break
            found.append(self._and_or())
        self._depth -= 1
        return found

    def _and_or(self) -> AndOr:
        parts = [("", self._pipeline())]
        while (sign := self._sign()) in ("&&", "||"):
            self.skip()
            self._blank_lines()
            parts.append((sign, self._pipeline()))
        return AndOr(parts, in_background=self._takes("&"))

    def _pipeline(self) -> Pipeline:
        is_negated = False
        while self._word() in ("!", "time"):
            is_negated ^= self._word() == "!"
            self.skip()
        commands = [self._command()]
        while self._takes("|", "|&"):
            self._blank_lines()
            commands.append(self._command())
        return Pipeline(commands, is_negated)

    def _blank_lines(self) -> None:
        while self._takes("\n"):
            pass

    def _command(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise TooDeep
        found = self._single()
        self._depth -= 1
        return found

    def _single(self) -> Node:
        if self._sign() == "((":
            return self._arithmetic()
        if self._takes("("):
            body = self.list_until()
            self._takes(")")
            self._arguments()
            return Group(body, is_subshell=True)
        word = self._word()
        if word in _COMPOUND and word != "[[":
            self.skip()
            node = self._compound(word)
            self._arguments()
            return node
        return self._simple()

    def _arithmetic(self) -> Node:
        line, words, depth = self._tokens[self._place].line, list[str](), 0
        while not self.at_end():
            words.append(self._tokens[self._place].text)
            depth += words[-1].count("(") - (words[-1] == ")")
            self.skip()
            if depth == 0:
                break
        return Simple(words, line)

    def _compound(self, word: str) -> Node:
        if word == "if":
            return self._if()
        if word in ("while", "until"):
            return Loop(self.list_until(), self._do())
        if word in ("for", "select"):
            self._arguments()
            self._takes(";", "\n")
            return Loop([], self._do())
        if word == "case":
            return self._case()
        if word == "function":
            self._arguments()
        body = self.list_until()
        self._takes("}")
        return Group(body) if word == "{" else Several([body], is_function=True)

    def _if(self) -> Node:
        found = If([])
        while True:
            condition = self.list_until()
            self._takes("then")
            found.branches.append((condition, self.list_until()))
            if not self._takes("elif"):
                break
        if self._takes("else"):
            found.otherwise = self.list_until()
        self._takes("fi")
        return found

    def _do(self) -> list[AndOr]:
        self._blank_lines()
        self._takes("do")
        body = self.list_until()
        self._takes("done")
        return body

    def _case(self) -> Node:
        while not self.at_end() and not self._takes("in"):
            self.skip()
        bodies = []
        while not self.at_end() and not self._takes("esac"):
            if self._takes("\n", "(", ";;", ";&", ";;&"):
                continue
            while not self.at_end() and not self._takes(")"):
                self.skip()
            bodies.append(self.list_until())
            if self._word() in _ENDS - {"esac"}:
                self.skip()
        return Several(bodies)

    def _arguments(self) -> list[str]:
        """Take the words that follow, such as redirections."""
        found = []
        while word := self._word():
            found.append(word)
            self.skip()
        return found

    def _simple(self) -> Node:
        line = self._tokens[self._place].line if not self.at_end() else 0
        words = self._arguments()
        if words[:1] == ["[["]:
            while not self.at_end() and self._sign() != "\n" and words[-1] != "]]":
                words.append(self._tokens[self._place].text)
                self.skip()
        if self._sign() == "(" and len(words) == 1:
            self.skip()
            if self._takes(")"):
                self._blank_lines()
                return Several([[AndOr([("", Pipeline([self._command()], is_negated=False))])]], is_function=True)
        elif self._sign() in ("&&", "||", "|", "|&"):
            # An operator with nothing before it: the shell would refuse the script.
            self._place += not words
        return Simple(words, line)
