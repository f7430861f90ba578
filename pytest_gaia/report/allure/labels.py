"""Who a result is, and what it is labelled with: its history, its environment, its suite, and what it checks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ENVIRONMENT = "environment"
"""the hidden parameter that keeps environments apart where histories are told apart by parameters (Allure 3)"""
CASE = "case"
"""the hidden parameter that keeps parametrised tests apart, whose values can look alike once they are masked"""


Labels = tuple[tuple[str, str], ...]
EPIC = "Gaia Platform"


@dataclass(frozen=True, slots=True)
class Identity:
    """One test as Allure names it, from pytest's node id."""

    node: str
    path: str
    classes: tuple[str, ...]
    function: str
    case: str
    """what stands in the brackets; empty for a test without parameters, and for a whole file"""

    @classmethod
    def of(cls, node: str) -> Identity:
        """Return the identity of a node id. That of a file that was not collected has no function."""
        path, _, rest = node.partition("::")
        names, bracket, case = rest.partition("[")
        *classes, function = names.split("::")
        return cls(node, path, tuple(classes), function, case.removesuffix("]") if bracket else "")

    @property
    def name(self) -> str:
        """What a reader sees: the function with its case, or the file."""
        shown = f"{self.function}[{self.case}]" if self.case else self.function
        return shown or self.path

    @property
    def full_name(self) -> str:
        """The dotted name that all cases of a test share, as allure-pytest writes it."""
        folder, _, file = self.path.rpartition("/")
        package = ".".join(part for part in (folder.replace("/", "."), file.rsplit(".", 1)[0]) if part)
        return f"{'.'.join((package, *self.classes))}#{self.function}" if self.function else package

    @property
    def title_path(self) -> list[str]:
        """The folders, the file and the classes that it is in."""
        return [*self.path.split("/"), *self.classes]


def history_id(node: str, environment: str) -> str:
    """Return what ties the runs of one test in one environment together."""
    return _md5(f"{node}\0{environment}")


def test_case_id(full_name: str) -> str:
    """Return what ties all environments and cases of one test together."""
    return _md5(full_name)


def environment_name(name: str, *, rehearsal: bool) -> str:
    """Return the environment as results name it: a rehearsal on the sandbox is no run of what it rehearses."""
    return f"{name}-rehearsal" if rehearsal else name


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest()


def origin(identity: Identity) -> Labels:
    """Return where a test comes from: the tree of suites, the package and the framework, as allure-pytest writes them."""
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


def of_project(identity: Identity, environment: str, rootdir: Path, roots: tuple[Path, ...]) -> Labels:
    """Return what this package adds: the environment, and epic, feature and story."""
    return (("env", environment), *behaviours(rootdir / identity.path, identity.classes, roots))


def missing(present: Iterable[str], wanted: Labels) -> Labels:
    """Return those of ``wanted`` whose name nobody has used yet: what the author of a test says goes first."""
    taken = set(present)
    return tuple((name, value) for name, value in wanted if name not in taken)


@lru_cache(maxsize=4096)
def behaviours(path: Path, classes: tuple[str, ...], roots: tuple[Path, ...]) -> tuple[tuple[str, str], ...]:
    """Return the labels of the tests in one file or class: the feature is the suite, the story the class or the file.

    ``roots`` are the suites' root folders; outside of them a file's folder is the feature.
    """
    root = next((root for root in roots if root in path.parents), None)
    parts = path.relative_to(root).parts if root else (path.parent.name, path.name)
    feature = parts[0] if len(parts) > 1 and parts[0] else EPIC
    story = " ".join(classes) or path.stem.removeprefix("test_").replace("_", " ")
    return (("epic", EPIC), ("feature", feature), ("story", story))
