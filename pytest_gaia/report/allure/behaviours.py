"""Epics, features and stories: what a suite checks, for readers who do not think in files."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

EPIC = "Gaia Platform"


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
