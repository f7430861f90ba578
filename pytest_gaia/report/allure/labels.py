"""The labels that every result has, whoever writes it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pytest_gaia.report.allure.behaviours import behaviours
from pytest_gaia.report.allure.identity import Identity

Labels = tuple[tuple[str, str], ...]


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
