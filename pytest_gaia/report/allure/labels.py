"""Identity and labels of a result: its history, environment, suite and feature."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ENVIRONMENT = "environment"
"""hidden parameter that separates the histories of environments in Allure 3"""
CASE = "case"
"""hidden parameter that separates parametrized tests, whose values can look equal after masking"""


Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """The names of one test in Allure, from pytest's node id."""

    node: str
    path: str
    classes: tuple[str, ...]
    function: str
    case: str
    """the text in brackets; empty for a test without parameters, and for a file"""

    @classmethod
    def of(cls, node: str) -> Identity:
        """Return the identity of a node id. A file that could not be collected has no function."""
        path, _, rest = node.partition("::")
        names, bracket, case = rest.partition("[")
        *classes, function = names.split("::")
        return cls(node, path, tuple(classes), function, case.removesuffix("]") if bracket else "")

    @property
    def name(self) -> str:
        """The displayed name: the function with its case, or the file."""
        shown = f"{self.function}[{self.case}]" if self.case else self.function
        return shown or self.path

    @property
    def full_name(self) -> str:
        """The dotted name that all cases of a test share, in the format of allure-pytest."""
        folder, _, file = self.path.rpartition("/")
        package = ".".join(part for part in (folder.replace("/", "."), file.rsplit(".", 1)[0]) if part)
        return f"{'.'.join((package, *self.classes))}#{self.function}" if self.function else package

    @property
    def title_path(self) -> list[str]:
        """The folders, the file and the classes of the test."""
        return [*self.path.split("/"), *self.classes]


def history_id(node: str, environment: str) -> str:
    """Return the id that all runs of one test in one environment share."""
    return _md5(f"{node}\0{environment}")


def test_case_id(full_name: str) -> str:
    """Return the id that all environments and cases of one test share."""
    return _md5(full_name)


def environment_name(name: str, *, simulated: bool) -> str:
    """Return the name of the environment in the results; a simulated run has a name of its own."""
    return f"{name}-simulated" if simulated else name


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest()


def origin(identity: Identity) -> Labels:
    """Return the origin of a test: its suites, package and framework, in the format of allure-pytest."""
    dotted = identity.path.removesuffix(".py").replace("/", ".")
    package, _, module = dotted.rpartition(".")
    named = (
        ("parentSuite", package),
        ("suite", module),
        ("subSuite", " > ".join(identity.classes)),
        ("package", dotted),
        ("framework", "pytest"),
        ("language", "python"),
    )
    return tuple((name, value) for name, value in named if value)


def of_project(identity: Identity, environment: str, rootdir: Path, roots: tuple[Path, ...], epic: str) -> Labels:
    """Return the labels of this package: environment, epic, feature and story."""
    return (("env", environment), *behaviours(rootdir / identity.path, identity.classes, roots, epic))


def epic_of(platform: str, rootdir: Path) -> str:
    """Return the epic of all tests: the name of the platform, or of the project's folder if it has none."""
    # The results of earlier runs have this title.
    return "Gaia Platform" if platform == "gaia" else platform or rootdir.name or "project"


def missing(present: Iterable[str], wanted: Labels) -> Labels:
    """Return the labels of ``wanted`` whose names are not in ``present``: the labels of a test's author take precedence."""
    taken = set(present)
    return tuple((name, value) for name, value in wanted if name not in taken)


@lru_cache(maxsize=4096)
def behaviours(path: Path, classes: tuple[str, ...], roots: tuple[Path, ...], epic: str) -> tuple[tuple[str, str], ...]:
    """Return the labels of one file or class: the feature is the suite, the story is the class or the file.

    ``roots`` are the root folders of the suites. Outside of them, the folder of the file is the feature.
    """
    root = next((root for root in roots if root in path.parents), None)
    parts = path.relative_to(root).parts if root else (path.parent.name, path.name)
    feature = parts[0] if len(parts) > 1 and parts[0] else epic
    story = " ".join(classes) or path.stem.removeprefix("test_").replace("_", " ")
    return (("epic", epic), ("feature", feature), ("story", story))
