"""Creation of a release from images, the current commit, the deploy files and the newest migration."""

import ast
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pytest_gaia.config.tolerance import PRODUCTION
from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.gate.situation import Declared, Situation
from pytest_gaia.promotion.ledger.statements import GatePredicate, sha256_of
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.release import commits
from pytest_gaia.promotion.release import kept as releases
from pytest_gaia.promotion.release.comparison import deploy_files
from pytest_gaia.promotion.release.kept import Component, Release
from pytest_gaia.system.processes import DIRTY
from pytest_gaia.wording import listed

_KEPT = ".gaia"


ALEMBIC_FOLDERS = ("alembic/versions", "migrations/versions")
NUMBERED_FOLDERS = ("migrations", "supabase/migrations")


def make_release(
    promotion: Promotion,
    components: Iterable[Component],
    *,
    only_here: bool = False,
    head: str | None = None,
    allow_dirty: bool = False,
) -> tuple[Release, dict[str, bytes]]:
    """Return a release of ``components`` and its deploy files, without saving them.

    ``only_here``: the images exist on this machine only. Raises ``ConfigError`` without images, for a working tree with
    changes (unless ``allow_dirty``, which makes a local release), and if the commit or the migration is unknown.
    """
    parts = tuple(sorted(components))
    if not parts:
        raise ConfigError("a release needs images: --image SERVICE=REF@sha256:… for each, or --env ENV.")
    commit = commits.head(promotion.rootdir, beside=beside(promotion))
    if commit.changed and not allow_dirty:
        raise ConfigError(_changed(commit.changed))
    files = deploy_files(promotion.project.deploy_folder)
    release = Release(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        kind="local" if only_here or commit.changed else "registry",
        commit=commit.id + DIRTY if commit.changed else commit.id,
        authors=commits.authors(promotion.rootdir, last_released(promotion)),
        migration_head=migration_head(promotion.rootdir) if head is None else head,
        components=parts,
        configs={name: sha256_of(content) for name, content in files.items()},
    )
    return release, files


def last_released(promotion: Promotion) -> str | None:
    """Return the commit of the newest release that passed a gate with the role production; None if there is none."""
    promotion.bring_releases()
    entries, now, project = promotion.ledger.entries(), datetime.now(UTC), promotion.project
    names = promotion.with_role(PRODUCTION)
    promoted: dict[str, int] = {}
    """release → number of the newest entry that promotes it, which may not count"""
    for entry in entries:
        says = entry.predicate
        if isinstance(says, GatePredicate) and says.environment in names and says.decision.verdict == "PROMOTE":
            promoted[says.release] = entry.sequence
    found = [each for each in releases.all_releases(promotion.rootdir) if each.id in promoted]
    passed: list[tuple[int, str]] = []
    for release in sorted(found, key=lambda each: promoted[each.id], reverse=True):
        # No other release was promoted later.
        if passed and max(passed)[0] > promoted[release.id]:
            break
        for name in names:
            declared = Declared(PRODUCTION, project.platform)
            situation = Situation(name, declared, promotion.stages[name], release, entries, now)
            decision = situation.newest(GatePredicate)
            if decision is not None and decision.says.decision.verdict == "PROMOTE" and not decision.entry.problem:
                passed.append((decision.entry.sequence, release.commit))
    return max(passed)[1] if passed else None


def beside(promotion: Promotion) -> tuple[str, ...]:
    """Return the folders that a promotion itself writes to."""
    return _KEPT, *(
        [promotion.settings.path]
        if promotion.settings.git is None
        and commits.is_inside(promotion.rootdir / promotion.settings.path, promotion.rootdir)
        else []
    )


def _changed(files: tuple[str, ...]) -> str:
    return (
        f"the working tree has uncommitted changes: {listed(files)}. No release was created. Commit or ignore these files. "
        "With --allow-dirty the release is local, and can be promoted to local and dev only."
    )


def migration_head(rootdir: Path) -> str:
    """Return the newest migration of the project at ``rootdir``; empty if there is none.

    The head of Alembic is the revision that no other revision follows. Elsewhere it is the last name, with numbers
    compared as numbers. Raises ``ConfigError`` if there are several.
    """
    heads = dict(_heads(rootdir))
    if len(set(heads.values())) > 1:
        found = ", ".join(f"{head} in {folder}" for folder, head in heads.items())
        raise ConfigError(f"there are several newest migrations: {found}. Select one: --migration-head.")
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
            f"{folder} has {len(heads)} heads: {', '.join(heads)}. Merge them (alembic merge heads), or select one: "
            "--migration-head."
        )
    return heads[0] if heads else ""


def _assigned(path: Path) -> dict[str, object]:
    """Return the names in a file that have literal values. The file is parsed, and never executed."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{path.name}: this migration cannot be read: {error}. Pass --migration-head.") from None
    found: dict[str, object] = {}
    for node in tree.body:
        # The template of Alembic has annotations since 1.12.
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
