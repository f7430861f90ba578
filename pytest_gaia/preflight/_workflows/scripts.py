"""The commands of the scripts of a CI file, each with its line, and which of them can fail without failing the script."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pytest_gaia.files.toml import Place
from pytest_gaia.preflight._workflows.model import Command, YamlFile
from pytest_gaia.preflight._workflows.shell import (
    AndOr,
    Group,
    If,
    Line,
    Loop,
    Node,
    Pipeline,
    Simple,
    Token,
    TooDeep,
    parse,
    read,
    simples,
)

_BEGINS = re.compile(r"(?:^|[;&|]\s*|\bdo\s+|\bthen\s+)(?:while|until|for)\b")
_ENDS = re.compile(r"(?:^|[;&|]\s*)done\b")

_MESSAGES = frozenset({"echo", "printf", "logger", "cat", ":", "true"})
"""programs that print their arguments or files, and change nothing"""
_ALWAYS_WELL = _MESSAGES | frozenset(
    {
        "",
        "cp",
        "curl",
        "date",
        "export",
        "gh",
        "head",
        "local",
        "ls",
        "mkdir",
        "mv",
        "pwd",
        "rm",
        "set",
        "sleep",
        "tail",
    }
    | {"tee", "touch"}
)
"""programs that are written where something has failed, and that do not fail themselves"""
_SHOWS = re.compile(r"(?:fly|flyctl|gaia|git|docker|kubectl)\b.*\s(?:logs?|status|ps|diff)\b")
_ASSIGNED = re.compile(r"(?P<name>[A-Za-z_]\w*)=")
_OUTPUT = re.compile(r"(?P<name>[\w-]+)=.*GITHUB_(?:OUTPUT|ENV)|::set-output name=(?P<old>[\w-]+)")
_READ = re.compile(r"\$\{?([A-Za-z_]\w*)")
_NAME = re.compile(r"[A-Za-z_]\w*")
_READ_OUTPUT = re.compile(r"\b(?:outputs|env)\.([\w-]+)")
_LEAVES = frozenset({"exit", "return", "break", "continue"})
_TESTS_VALUE = frozenset({"[", "[[", "test"})


class Shell(NamedTuple):
    """The error handling of a shell at its start."""

    errexit: bool
    """whether it ends with the first program that fails"""
    pipefail: bool
    """whether a pipeline fails with any of its programs"""


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


class Fates(NamedTuple):
    """Programs of a script by what becomes of failures."""

    lost: tuple[Simple, ...]
    """those whose exit code changes nothing"""
    on_failure: tuple[Simple, ...]
    """those that run because another has failed"""


def is_message(program: Simple) -> bool:
    """Whether ``program`` only prints something."""
    return not program.words or program.words[0] in _MESSAGES


def names_read(file: str) -> frozenset[str]:
    """Return the outputs and variables in expressions of a CI file."""
    return frozenset(_READ_OUTPUT.findall(file))


def fates(tokens: Sequence[Token], shell: Shell, read_elsewhere: frozenset[str]) -> Fates:
    """Return what becomes of failures in the script of ``tokens``; other parts of its file read the names in ``read_elsewhere``.

    Of a script that is nested too deep nothing is known.
    """
    try:
        script = parse(tokens)
    except TooDeep:
        return Fates((), ())
    analysis = _Analysis(script, shell, read_elsewhere)
    analysis.run(script, counts=True, exempt=False)
    return Fates(tuple(analysis.lost), tuple(analysis.on_failure))


class _Analysis:
    """One pass over a script.

    ``counts``: the exit code of a command is used, such as that of the script. ``exempt``: a failure of it does not end the
    shell, as in a condition.
    """

    def __init__(self, script: list[AndOr], shell: Shell, read_elsewhere: frozenset[str]) -> None:
        self.lost: list[Simple] = []
        self.on_failure: list[Simple] = []
        programs = list(simples(script))
        self._places = {id(each): number for number, each in enumerate(programs)}
        self._last_wait = _last(programs, lambda each: each.words[:1] == ["wait"] and len(each.words) > 1)
        # To print the codes decides nothing.
        self._last_status = _last(
            programs, lambda each: "PIPESTATUS" in each.text and each.words[:1] not in (["echo"], ["printf"])
        )
        self._last_failure = _last(programs, _fails)
        self._last_read = _reads(programs)
        self._read_elsewhere = read_elsewhere
        self._recoveries: dict[int, bool] = {}
        self._errexit, self._pipefail = shell

    def run(self, items: Sequence[AndOr], *, counts: bool, exempt: bool, is_condition: bool = False) -> None:
        for number, item in enumerate(items):
            following = items[number + 1] if number + 1 < len(items) else None
            own = counts if following is None else self._is_asked_for(following)
            if item.in_background:
                own = self._end(item) < self._last_wait
            self._and_or(
                item, counts=own, exempt=exempt or item.in_background, is_condition=is_condition and following is None
            )

    def _and_or(self, item: AndOr, *, counts: bool, exempt: bool, is_condition: bool) -> None:
        for (pipeline, instead, leaves), later in zip(
            _alternatives(item), reversed(range(len(item.parts))), strict=True
        ):
            if instead is not None:
                own = not self._is_recovery(instead)
            elif leaves:
                own = self._end(pipeline.commands[-1]) < self._last_failure
            else:
                own = counts and (not pipeline.is_negated or is_condition)
            self._pipeline(pipeline, counts=own, exempt=exempt or bool(later) or pipeline.is_negated)

    def _is_recovery(self, instead: Pipeline) -> bool:
        """Whether the script goes on with ``instead`` as if nothing had failed."""
        if id(instead) not in self._recoveries:
            programs = list(simples(instead.commands))
            self.on_failure += programs
            self._recoveries[id(instead)] = self._is_harmless(programs)
        return self._recoveries[id(instead)]

    def _pipeline(self, pipeline: Pipeline, *, counts: bool, exempt: bool) -> None:
        *before, last = pipeline.commands
        asked = bool(before) and self._end(last) < self._last_status
        for each in before:
            self._command(
                each, counts=asked or (counts and self._pipefail), exempt=exempt or not (self._pipefail or asked)
            )
        self._command(last, counts=counts, exempt=exempt)

    def _command(self, node: Node, *, counts: bool, exempt: bool) -> None:
        if isinstance(node, Simple):
            self._set(node.words)
            if not counts and (exempt or not self._errexit):
                self.lost.append(node)
        elif isinstance(node, Group):
            kept = self._errexit, self._pipefail
            self.run(node.body, counts=counts, exempt=exempt)
            if node.is_subshell:
                self._errexit, self._pipefail = kept
        elif isinstance(node, If):
            self._if(node, counts=counts, exempt=exempt)
        elif isinstance(node, Loop):
            self.run(node.condition, counts=True, exempt=True)
            self.run(node.body, counts=counts, exempt=exempt)
        else:
            for body in node.bodies:
                self.run(body, counts=counts or node.is_function, exempt=exempt and not node.is_function)

    def _if(self, node: If, *, counts: bool, exempt: bool) -> None:
        for number, (condition, body) in enumerate(node.branches):
            is_last = number + 1 == len(node.branches)
            others = node.otherwise if is_last else []
            is_negated = bool(condition) and condition[-1].parts[-1][1].is_negated
            failing, passing = (body, others) if is_negated else (others, body)
            if any(each.words and each.words[0] not in _TESTS_VALUE for each in simples(condition)):
                self.on_failure += simples(failing)
            # The result of the next condition is unknown.
            is_open = not is_last and not is_negated
            decides = is_open or not self._is_harmless(simples(failing)) or self._decides(passing)
            self.run(condition, counts=decides, exempt=True, is_condition=True)
            self.run(body, counts=counts, exempt=exempt)
        self.run(node.otherwise, counts=counts, exempt=exempt)

    def _is_asked_for(self, following: AndOr) -> bool:
        """Whether the next command reads ``$?``, and its result is used."""
        asking = [each for each in simples([following]) if "$?" in each.text]
        return any(not self._is_harmless([each]) or (each.words[0] == "exit") for each in asking)

    def _is_harmless(self, programs: Iterable[Simple]) -> bool:
        """Whether these programs succeed, and leave nothing that is read later."""
        return all(self._ends_well(each) for each in programs)

    def _ends_well(self, program: Simple) -> bool:
        if any(self._is_used(name, program) for name in _saved(program)):
            return False
        if program.words[:2] == ["exit", "0"] or all(map(_ASSIGNED.match, program.words)):
            return True
        return program.words[0] in _ALWAYS_WELL or bool(_SHOWS.match(program.text))

    def _is_used(self, name: str, by: Simple) -> bool:
        """Whether a variable or an output is read after it was set."""
        return self._places[id(by)] < self._last_read.get(name, -1) or name in self._read_elsewhere

    def _decides(self, body: Sequence[AndOr]) -> bool:
        return any(
            each.words[:1] and (each.words[0] in _LEAVES or any(self._is_used(name, each) for name in _saved(each)))
            for each in simples(body)
        )

    def _end(self, node: AndOr | Node) -> int:
        """Return the number of the last program of ``node``."""
        return max((self._places[id(each)] for each in simples([node])), default=-1)

    def _set(self, words: list[str]) -> None:
        if words[:1] != ["set"]:
            return
        errexit, pipefail = options(words[1:])
        self._errexit = self._errexit if errexit is None else errexit
        self._pipefail = self._pipefail if pipefail is None else pipefail


def options(words: Sequence[str]) -> tuple[bool | None, bool | None]:
    """Return whether options of a shell switch errexit and pipefail on; None for what they leave as it is."""
    errexit = pipefail = None
    for number, word in enumerate(words):
        if word[:1] not in ("-", "+") or word.startswith("--"):
            continue
        on = word[0] == "-"
        named = words[number + 1] if "o" in word and number + 1 < len(words) else ""
        if "e" in word or named == "errexit":
            errexit = on
        if named == "pipefail":
            pipefail = on
    return errexit, pipefail


def _alternatives(item: AndOr) -> list[tuple[Pipeline, Pipeline | None, bool]]:
    """Return each pipeline with the one that runs where it fails, and whether one that leaves the script or loop runs where not."""
    found: list[tuple[Pipeline, Pipeline | None, bool]] = []
    after: dict[str, Pipeline | None] = {"&&": None, "||": None}
    leaves = False
    for operator, pipeline in reversed(item.parts):
        found.append((pipeline, after["&&" if pipeline.is_negated else "||"], leaves))
        if operator:
            after[operator] = pipeline
            leaves = leaves or (operator == "&&" and _is_leaving(pipeline))
    return found[::-1]


def _is_leaving(pipeline: Pipeline) -> bool:
    return any(isinstance(each, Simple) and each.words[:1] and each.words[0] in _LEAVES for each in pipeline.commands)


def _last(programs: Sequence[Simple], fits: Callable[[Simple], bool]) -> int:
    return max((number for number, each in enumerate(programs) if fits(each)), default=-1)


def _fails(program: Simple) -> bool:
    return program.words[:1] in (["exit"], ["return"], ["false"]) and program.words[1:] != ["0"]


def _reads(programs: Sequence[Simple]) -> dict[str, int]:
    """Return the last position at which each variable is read, except to print it."""
    found = {}
    for number, each in enumerate(programs):
        if not is_message(each) or _OUTPUT.search(each.text):
            names = _NAME.findall(each.text) if "((" in each.text else _READ.findall(each.text)
            found.update(dict.fromkeys(names, number))
    return found


def _saved(program: Simple) -> list[str]:
    """Return the names under which ``program`` keeps something for later."""
    found = [match["name"] for match in map(_ASSIGNED.match, program.words) if match]
    output = _OUTPUT.search(program.text)
    return [*found, output["name"] or output["old"]] if output else found
