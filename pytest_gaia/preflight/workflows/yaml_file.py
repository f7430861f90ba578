"""One CI file, parsed, with the place of every key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_gaia.config.deployfiles.model import Place
from pytest_gaia.preflight.workflows.model import Variable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class YamlFile:
    """One CI file."""

    name: str
    document: Mapping[str, Any]
    places: Mapping[str, Place]
    lines: tuple[str, ...]
    names_read: frozenset[str] = frozenset()
    """the outputs and variables that its expressions look at"""

    def place(self, *step: str) -> Place:
        """Return where the key stands, or the nearest one around it."""
        for length in range(len(step), 0, -1):
            found = self.places.get(".".join(step[:length]))
            if found is not None:
                return found
        return Place(self.name, 1)

    def variables(self, *step: str) -> Iterator[Variable]:
        """Yield the variables of the table at ``step``, which may be missing."""
        node: Any = self.document
        for part in step:
            name, _, number = part.partition("[")
            node = as_table(node).get(name)
            if number:
                node = node[int(number.rstrip("]"))] if isinstance(node, list) else None
        for name, given in as_table(node).items():
            # GitLab describes a variable by a table that holds its value.
            value = given.get("value") if isinstance(given, dict) else given
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                yield Variable(name, str(value), self.place(*step, name))


def as_list(value: Any) -> list[Any]:
    """Return a list as it is, nothing as an empty list, and a value that stands alone as a list of one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def as_table(value: Any) -> dict[str, Any]:
    """Return a table as it is, and anything else as an empty one."""
    return value if isinstance(value, dict) else {}
