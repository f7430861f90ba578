"""Making a bundle of images, and of what the project is at this moment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from pytest_gaia.config.tolerance import PRODUCTION
from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion import bundles, commits
from pytest_gaia.promotion.bundle import Bundle, Component
from pytest_gaia.promotion.configs import deploy_files, digest
from pytest_gaia.promotion.migrations import migration_head
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.situation import Situation
from pytest_gaia.promotion.statements import GatePredicate
from pytest_gaia.wording import listed

DIRTY = "-dirty"
"""end of the commit of a bundle that holds more than the commit does, as ``git describe`` writes it"""
_KEPT = ".gaia"


def make_bundle(
    promotion: Promotion,
    components: Iterable[Component],
    *,
    only_here: bool = False,
    head: str | None = None,
    allow_dirty: bool = False,
) -> tuple[Bundle, dict[str, bytes]]:
    """Return a bundle of ``components`` with the deploy files that it names; nothing is kept yet.

    ``only_here`` says that its images are on this machine alone. Raises ``ConfigError``: no image, a work tree with
    changes (unless ``allow_dirty``, which makes it a local one), and whatever git or the migrations do not tell.
    """
    parts = tuple(sorted(components))
    if not parts:
        raise ConfigError("a bundle needs images: --image SERVICE=REF@sha256:… for each, or --from-env ENV.")
    commit = commits.head(promotion.rootdir, beside=beside(promotion))
    if commit.changed and not allow_dirty:
        raise ConfigError(_changed(commit.changed))
    files = deploy_files(promotion.project.deploy_folder)
    bundle = Bundle(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        kind="local" if only_here or commit.changed else "registry",
        commit=commit.id + DIRTY if commit.changed else commit.id,
        authors=commits.authors(promotion.rootdir, last_released(promotion)),
        migration_head=migration_head(promotion.rootdir) if head is None else head,
        components=parts,
        configs={name: digest(content) for name, content in files.items()},
    )
    return bundle, files


def last_released(promotion: Promotion) -> str | None:
    """Return the commit of the newest bundle that has passed production's gate; None for none."""
    promotion.bring_bundles()
    entries, now = promotion.ledger.entries(), datetime.now(UTC)
    stage = promotion.stages[PRODUCTION]
    passed = []
    for bundle in bundles.all_bundles(promotion.rootdir):
        decision = Situation(PRODUCTION, stage, bundle, entries, now).newest(GatePredicate)
        if decision is not None and decision.says.decision.verdict == "PROMOTE" and not decision.entry.problem:
            passed.append((decision.entry.sequence, bundle.commit))
    return max(passed)[1] if passed else None


def beside(promotion: Promotion) -> tuple[str, ...]:
    """Return the folders in which a promotion itself writes."""
    return _KEPT, *(
        [promotion.settings.path]
        if promotion.settings.git is None and _inside(promotion.rootdir / promotion.settings.path, promotion.rootdir)
        else []
    )


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _changed(files: tuple[str, ...]) -> str:
    return (
        f"the work tree is not what the commit says: {listed(files)}. Nothing was made. Commit it (or "
        "ignore what is no part of a release); --allow-dirty makes a local bundle, which goes no further than dev."
    )
