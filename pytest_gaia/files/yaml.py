"""Read YAML into plain values, each with its line. Executes nothing in the text.

PyYAML parses the text, but this module builds the values, because PyYAML has no lines, reads YAML 1.1 while compose reads 1.2
(``2222:22`` is a port mapping, not the number 133342), accepts duplicate keys, and builds billions of values from a few lines
of aliases.
"""

import re
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from pytest_gaia.errors import ConfigError
from pytest_gaia.files.toml import Key, Place, add_place

MOST_CHARACTERS = 1_000_000
MOST_VALUES = 20_000
_DEEPEST = 60

Pair: TypeAlias = "tuple[yaml.Node, yaml.Node]"

_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_LONGEST_NUMBER = 20
_RESOLVER = yaml.resolver.Resolver()
_STRING = "tag:yaml.org,2002:str"
_MERGE = "<<"


def read_yaml(text: str, name: str) -> tuple[Any, dict[str, Place]]:
    """Parse ``text``, and return the document and the place of every key; elements of lists have indices from 0.

    Raises ``ConfigError`` with file and line for invalid YAML, a duplicate key, or a text that expands to more than
    ``MOST_VALUES`` values.
    """
    if len(text) > MOST_CHARACTERS:
        raise ConfigError(
            f"{name}: {len(text):,} characters are more than a deploy file can have ({MOST_CHARACTERS:,})."
        )
    try:
        root = yaml.SafeLoader(text).get_single_node()
        builder = _Builder(name)
        return (None if root is None else builder.build(root, ())), builder.places
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(
            f"{name}:{mark.line + 1 if mark else 1}: not valid YAML: {error.problem or error.context}."
        ) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        raise ConfigError(f"{name}:{line}: not valid YAML: it contains a control character.") from None
    except RecursionError:
        raise ConfigError(f"{name}: not a deploy file: its values are nested too deeply.") from None


def yaml_comments(text: str) -> dict[int, str]:
    """Return line → comment on it, for the valid YAML ``text``."""
    lines = text.split("\n")
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.ScalarToken):
            _blank_out(lines, token.start_mark, token.end_mark, whole=token.style in ("|", ">"))
    found = ((number, re.search(r"(?:^|\s)#(.*)", line)) for number, line in enumerate(lines, start=1))
    return {number: match[1].strip() for number, match in found if match}


def _blank_out(lines: list[str], start: yaml.Mark, end: yaml.Mark, *, whole: bool) -> None:
    """Blank the part between two marks; in a block (``whole``) all lines but the first, which may have a comment."""
    for number in range(start.line + whole, min(end.line + (0 if whole else 1), len(lines))):
        first = start.column if number == start.line else 0
        last = end.column if number == end.line else len(lines[number])
        lines[number] = lines[number][:first] + "x" * (last - first) + lines[number][last:]


@dataclass(slots=True)
class _Builder:
    """Builder of values from nodes, with their places."""

    name: str
    places: dict[str, Place] = field(default_factory=dict)
    _built: int = 0

    def build(self, node: yaml.Node, step: Key) -> Any:
        self._built += 1
        if self._built > MOST_VALUES or len(step) > _DEEPEST:
            raise self._error(node, "its aliases expand to more values than a deploy file can have.")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, step)
        if isinstance(node, yaml.SequenceNode):
            return [self._element(each, step, number) for number, each in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return scalar(node)

    def _mapping(self, node: yaml.MappingNode, step: Key) -> dict[str, Any]:
        values = {}
        for key, value in self._pairs(node, len(step)):
            add_place(self.places, (*step, key.value), self.name, key.start_mark.line + 1)
            values[key.value] = self.build(value, (*step, key.value))
        return values

    def _element(self, node: yaml.Node, step: Key, number: int) -> Any:
        if not step:
            return self.build(node, (f"[{number}]",))
        element = (*step[:-1], f"{step[-1]}[{number}]")
        add_place(self.places, element, self.name, node.start_mark.line + 1)
        return self.build(node, element)

    def _pairs(self, node: yaml.MappingNode, depth: int) -> list[Pair]:
        """Return the keys and values of ``node``, including merged ones (``<<``); its own take precedence."""
        own: dict[str, Pair] = {}
        merged: dict[str, Pair] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, "a key must be plain text.")
            if key.value == _MERGE and key.style is None:
                for pair in self._merged(value, depth + 1):
                    merged.setdefault(pair[0].value, pair)
            elif key.value in own:
                raise self._error(key, f"the key {key.value!r} is duplicated.")
            else:
                own[key.value] = (key, value)
        return list((merged | own).values())

    def _merged(self, node: yaml.Node, depth: int) -> list[Pair]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        pairs = []
        for source in sources:
            self._built += 1
            if self._built > MOST_VALUES or depth > _DEEPEST:
                raise self._error(node, "its aliases expand to more values than a deploy file can have.")
            if not isinstance(source, yaml.MappingNode):
                raise self._error(source, "only a table can be merged with '<<'.")
            pairs += self._pairs(source, depth)
            self._built += len(pairs)
        return pairs

    def _error(self, node: yaml.Node, problem: str) -> ConfigError:
        return ConfigError(f"{self.name}:{node.start_mark.line + 1}: not a deploy file: {problem}")


def scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    """Return the value of ``node`` by the core schema of YAML 1.2; quoted and tagged strings stay strings."""
    text: str = node.value
    value = text if node.style is not None else _plain(text)
    if node.tag == _STRING and not isinstance(value, str):
        # PyYAML's stubs leave the resolver untyped.
        untagged = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
        return text if untagged != _STRING else value
    return value


def _plain(text: str) -> str | int | float | bool | None:
    if text in (text.lower(), text.capitalize(), text.upper()) and text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _WHOLE.fullmatch(text) and len(text) < _LONGEST_NUMBER:
        return int(text)
    if _BASED.fullmatch(text) and len(text) < _LONGEST_NUMBER:
        return int(text, 0)
    return float(text) if _NUMBER.fullmatch(text) else text


def yaml_texts(text: str, name: str) -> Any:
    """Parse ``text`` as :func:`read_yaml` does, but of any size, without places, and with every plain value as a string."""
    try:
        # Faster, but not in every build of PyYAML. Neither one builds anything but tables, lists and strings.
        return yaml.load(text, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(
            f"{name}:{mark.line + 1 if mark else 1}: not valid YAML: {error.problem or error.context}."
        ) from None
    except (yaml.YAMLError, RecursionError):
        raise ConfigError(f"{name}: not valid YAML.") from None
