"""Which migration a database has to be at for a release: the head of the project's migrations."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pytest_gaia.errors import ConfigError

ALEMBIC_FOLDERS = ("alembic/versions", "migrations/versions")
NUMBERED_FOLDERS = ("migrations", "supabase/migrations")


def migration_head(rootdir: Path) -> str:
    """Return the newest migration of the project at ``rootdir``; empty where it has none.

    Alembic's files say what they follow, so its head is the one that none follows; elsewhere it is the last name, with
    its numbers compared as numbers. Raises ``ConfigError`` where that is not one.
    """
    heads = dict(_heads(rootdir))
    if len(set(heads.values())) > 1:
        found = ", ".join(f"{head} in {folder}" for folder, head in heads.items())
        raise ConfigError(f"there are several newest migrations: {found}. Say which counts: --migration-head.")
    return next(iter(heads.values()), "")


def _heads(rootdir: Path) -> Iterator[tuple[str, str]]:
    for folder in ALEMBIC_FOLDERS:
        if head := _alembic_head((rootdir / folder).glob("*.py"), folder):
            yield folder, head
    for folder in NUMBERED_FOLDERS:
        names = [path.stem for path in (rootdir / folder).glob("*") if path.suffix in (".sql", ".py")]
        if names := [name for name in names if re.search(r"\d", name) and not name.endswith(".down")]:
            yield folder, max(names, key=_natural)


def _alembic_head(paths: Iterable[Path], folder: str) -> str:
    followed: set[str] = set()
    revisions: set[str] = set()
    for path in paths:
        values = _assigned(path)
        revisions.update(_texts(values.get("revision")))
        followed.update(_texts(values.get("down_revision")))
    heads = sorted(revisions - followed)
    if len(heads) > 1:
        raise ConfigError(
            f"{folder} has {len(heads)} heads: {', '.join(heads)}. Merge them (alembic merge heads), or say which counts: "
            "--migration-head."
        )
    return heads[0] if heads else ""


def _assigned(path: Path) -> dict[str, object]:
    """Return the names that a file gives plain values to. It is read, and never run."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{path.name}: this migration cannot be read: {error}. Say --migration-head.") from None
    found: dict[str, object] = {}
    for node in tree.body:
        # Alembic's template annotates its names since 1.12.
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(targets[0], ast.Name) and isinstance(value, ast.expr):
            with suppress(ValueError):
                found[targets[0].id] = ast.literal_eval(value)
    return found


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, tuple | list) else ()


def _natural(name: str) -> tuple[tuple[int, int | str], ...]:
    parts = re.findall(r"\d+|\D+", name)
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts)
