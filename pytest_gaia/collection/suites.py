"""Suites: a folder below a suites root is a suite, and its name is a marker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


def suite_names(roots: Iterable[Path]) -> tuple[str, ...]:
    """Return the names of all suites: the folders below ``roots`` that hold tests."""
    folders = (folder for root in roots if root.is_dir() for folder in root.iterdir())
    return tuple(sorted(folder.name for folder in folders if any(folder.glob("test_*.py"))))


def suite_of(path: Path, roots: Sequence[Path]) -> str | None:
    """Return the suite that the test file at ``path`` belongs to, or None outside of all suites."""
    for root in roots:
        if root in path.parents:
            parts = path.relative_to(root).parts
            return parts[0] if len(parts) > 1 else None
    return None


def mark_suites(items: Iterable[pytest.Item], roots: Sequence[Path]) -> None:
    """Give every item the marker of its suite, one shared mark object a suite."""
    marks: dict[str, pytest.MarkDecorator] = {}
    for item in items:
        suite = suite_of(item.path, roots)
        if suite is not None:
            item.add_marker(marks.setdefault(suite, getattr(pytest.mark, suite)))


def project_node(item: pytest.Item, roots: Sequence[Path], rootdir: Path) -> str:
    """Return the node id of ``item`` as rules write it: relative to the project, wherever pytest's own root folder is."""
    root = next((root for root in roots if root in item.path.parents), None)
    if root is None:
        return item.nodeid
    base = rootdir if rootdir in root.parents else root.parent
    _, separator, inside = item.nodeid.partition("::")
    return f"{item.path.relative_to(base).as_posix()}{separator}{inside}"
